"""Evaluations and seconds that each optimiser needs to reach the loss that scipy's L-BFGS-B reaches, over 20 starts.

    python -m pytest -m benchmark -n 0 -s tests/benchmarks/test_optimizers_bench.py

Seconds include those of the objective. "-" stands for a median over starts of which most never got there.
"""

import time
from collections.abc import Callable
from math import inf, isfinite
from statistics import median

import pytest
import torch
from optimizer_problems import Counted, Problem, gram, quadratic, rosenbrock, run, run_scipy, run_torch
from torch import Tensor

from gatys_lab.optimizers import adam, lbfgs, lbfgsb
from gatys_lab.types import Evaluate

STARTS = 20
PROBLEMS: dict[str, tuple[Callable[[int], Problem], int]] = {  # and scipy's budget
    "quadratic, condition 1e2": (lambda seed: quadratic(1e2, seed), 60),
    "quadratic, condition 1e3": (lambda seed: quadratic(1e3, seed), 150),
    "quadratic, condition 1e4": (lambda seed: quadratic(1e4, seed), 150),
    "quadratic, condition 1e5": (lambda seed: quadratic(1e5, seed), 150),
    "Rosenbrock": (rosenbrock, 300),
    "Gram, 128 px, from the content": (gram, 60),
    "Gram, 128 px, from noise": (lambda seed: gram(seed, noise=True), 60),
}
RUNS: dict[str, Callable[[Evaluate, Tensor], object]] = {
    "scipy": run_scipy,
    "torch": run_torch,
    "lbfgs": lambda evaluate, start: run(lbfgs.build(), evaluate, start),
    "lbfgsb": lambda evaluate, start: run(lbfgsb.build(), evaluate, start),
    "adam": lambda evaluate, start: run(adam.build(bounds=None), evaluate, start),
}


@pytest.mark.benchmark
@pytest.mark.parametrize("name", PROBLEMS)
def test_to_the_loss_of_scipy(name: str) -> None:
    problem, budget = PROBLEMS[name]
    boxed = name.startswith("Gram")
    runs = {key: each for key, each in RUNS.items() if boxed or key != "lbfgsb"}  # the others' minima lie outside
    needed: dict[str, list[tuple[float, float]]] = {key: [] for key in runs}
    for seed in range(STARTS):
        evaluate, start = problem(seed)
        first = Counted(evaluate, budget)
        run_scipy(first, start)
        for key, each in runs.items():
            needed[key].append(_cost(each, evaluate, start, min(first.losses), 4 * budget))
    scipy = [evaluations for evaluations, _ in needed["scipy"]]
    print(f"\n{name} (history 10, {torch.get_num_threads()} threads)")
    print(f"  {'':8} evaluations   over scipy's      seconds")
    for key, costs in needed.items():
        ratio = median(cost[0] / reference for cost, reference in zip(costs, scipy, strict=True))
        evaluations, seconds = (median(each) for each in zip(*costs, strict=True))
        cells = (f"{evaluations:g}", f"{ratio:.3f}", f"{seconds:.4f}") if isfinite(evaluations) else "---"
        print(f"  {key:8} {cells[0]:>11} {cells[1]:>14} {cells[2]:>12}")


def _cost(
    each: Callable[[Evaluate, Tensor], object], evaluate: Evaluate, start: Tensor, target: float, budget: int
) -> tuple[float, float]:
    """Evaluations and seconds to a loss; infinite if it is not reached."""
    counted = Counted(evaluate, budget, target)
    began = time.perf_counter()
    each(counted, start)
    seconds = time.perf_counter() - began
    return (len(counted.losses), seconds) if min(counted.losses) <= target else (inf, inf)
