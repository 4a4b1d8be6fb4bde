"""What every optimiser has in common, over the whole folder; lbfgs against scipy's L-BFGS-B; that, and Adam."""

import copy
from dataclasses import fields, is_dataclass
from math import inf
from statistics import median
from typing import Any

import pytest
import torch
from optimizer_problems import Counted, bowl, go_on, gram, quadratic, raising, rosenbrock, run, run_scipy
from torch import Tensor

from gatys_lab import catalog
from gatys_lab.optimizers import adam, lbfgs, lbfgsb

NAMES = catalog.names("optimizers")
DTYPES = (torch.float32, torch.float64)
pytestmark = pytest.mark.usefixtures("one_thread")


# ---- every optimiser


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_minimises_inside_the_box(name: str, dtype: torch.dtype) -> None:
    evaluate, start = bowl(dtype)
    before = start.clone()

    def watched(x: Tensor) -> tuple[Tensor, Tensor]:
        assert x.shape == start.shape and x.dtype == dtype and x.is_contiguous() and not x.requires_grad
        return evaluate(x)

    counted = Counted(watched, 400)
    state: Any = run(catalog.load("optimizers", name), counted, start)
    assert torch.equal(start, before), "the caller's tensor is not the optimiser's"
    best = state.x if state.average is None else state.average
    assert best.shape == start.shape and best.dtype == dtype
    assert float(evaluate(best)[0]) < 1e-3 * counted.losses[0]


@pytest.mark.parametrize("name", NAMES)
def test_refuses_an_unknown_option_by_name(name: str) -> None:
    with pytest.raises(ValueError, match="tolerance_change"):
        catalog.load("optimizers", name, tolerance_change=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_takes_half_precision_as_single_and_any_strides(name: str) -> None:
    _, start = bowl(torch.float32)
    odd = start.half().contiguous(memory_format=torch.channels_last).requires_grad_()
    state = catalog.load("optimizers", name).start(odd)
    assert state.x.dtype == torch.float32 and state.x.is_contiguous() and not state.x.requires_grad
    assert torch.equal(state.x, odd.detach().float())


@pytest.mark.parametrize("at", [1, 2, 3, 7, 8])
@pytest.mark.parametrize("name", NAMES)
def test_an_interrupted_step_leaves_a_state_that_goes_on(name: str, at: int) -> None:
    evaluate, start = bowl()
    optimizer = catalog.load("optimizers", name)
    state: Any = run(optimizer, raising(evaluate, at), start)
    assert state.reason is None and torch.isfinite(state.x).all()
    assert float(evaluate(state.x)[0]) <= float(evaluate(start)[0])
    state = go_on(optimizer, Counted(evaluate, 400), state)
    assert float(evaluate(state.x)[0]) < 1e-3 * float(evaluate(start)[0])


@pytest.mark.parametrize("name", NAMES)
def test_a_state_is_numbers_and_tensors_and_its_copy_goes_the_same_way(name: str) -> None:
    evaluate, start = bowl()
    optimizer = catalog.load("optimizers", name)
    state: Any = run(optimizer, raising(evaluate, 8), start)
    assert_plain(state)
    twin = copy.deepcopy(state)
    state, twin = (go_on(optimizer, Counted(evaluate, 20), each) for each in (state, twin))
    assert torch.equal(state.x, twin.x)


def assert_plain(value: object) -> None:
    if is_dataclass(value):
        for field in fields(value):
            assert_plain(getattr(value, field.name))
    else:
        assert value is None or isinstance(value, Tensor | int | float | str), value


# ---- lbfgs against scipy's L-BFGS-B

PROBLEMS = {
    "quadratic 1e2": (lambda seed: quadratic(1e2, seed), 60, 20),
    "quadratic 1e3": (lambda seed: quadratic(1e3, seed), 100, 20),
    "quadratic 1e5": (lambda seed: quadratic(1e5, seed), 100, 20),
    "rosenbrock": (rosenbrock, 150, 20),
    "gram from the content": (lambda seed: gram(seed, 128), 25, 3),
    "gram from noise": (lambda seed: gram(seed, 128, noise=True), 25, 3),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_needs_at_most_a_tenth_more_evaluations_than_scipy(name: str) -> None:
    problem, budget, starts = PROBLEMS[name]
    ratios = []
    for seed in range(starts):
        evaluate, start = problem(seed)
        reference = Counted(evaluate, budget)
        run_scipy(reference, start)
        target = min(reference.losses)
        needed = reference.losses.index(target) + 1
        ours = Counted(evaluate, 2 * budget, target)
        run(lbfgs.build(), ours, start)
        ratios.append(len(ours.losses) / needed if ours.losses[-1] <= target else inf)
    assert median(ratios) <= 1.1


# ---- lbfgsb


@pytest.mark.parametrize("bounds", [(0.0, 1.0), None])
def test_lbfgsb_is_scipys(bounds: tuple[float, float] | None) -> None:
    evaluate, start = quadratic(100.0, 0, size=40)
    state = run(lbfgsb.build(bounds=bounds), Counted(evaluate, 2000), start)
    assert state.reason in ("converged", "stalled")
    slope = evaluate(state.x)[1]
    projected = slope if bounds is None else state.x - (state.x - slope).clamp(*bounds)
    assert float(projected.abs().max()) < 1e-6
    assert bounds is None or (float(state.x.min()) >= 0 and float(state.x.max()) <= 1)


def test_lbfgsb_keeps_up_with_scipy_and_ends_where_the_loss_does() -> None:
    evaluate, start = rosenbrock(0, size=20)
    counted = Counted(evaluate, 30)
    state = run(lbfgsb.build(bounds=None), counted, start)
    assert float(evaluate(state.x)[0]) == pytest.approx(min(counted.losses[-5:]), rel=0.5)
    assert float(evaluate(state.x)[0]) in counted.losses
    state = run(lbfgsb.build(), lambda x: (evaluate(x)[0] * inf, evaluate(x)[1]), start)
    assert state.reason == "diverged" and torch.equal(state.x, start)


# ---- adam


def test_adam_is_kingma_and_bas() -> None:
    evaluate, start = bowl()
    state = run(adam.build(bounds=None), Counted(evaluate, 50), start)
    x = start.clone().requires_grad_()
    reference = torch.optim.Adam([x], lr=0.02, betas=(0.9, 0.99), eps=1e-16)
    for _ in range(50):
        x.grad = evaluate(x.detach())[1]
        reference.step()
    assert torch.allclose(state.x, x.detach(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("averaging", [0.3, 0.99])
@pytest.mark.parametrize("steps", [1, 2, 40])
def test_the_average_is_the_explicit_sum(averaging: float, steps: int) -> None:
    evaluate, start = bowl()
    optimizer = adam.build(averaging=averaging)
    state, iterates = optimizer.start(start), []
    for _ in range(steps):
        state = optimizer.step(evaluate, state)
        iterates.append(state.x.clone())
    weights = torch.tensor([averaging ** (steps - k) for k in range(1, steps + 1)], dtype=torch.float64)
    wanted = torch.einsum("k,k...->...", weights / weights.sum(), torch.stack(iterates))
    assert state.average is not None and torch.allclose(state.average, wanted, rtol=0, atol=1e-13)
    assert adam.build(averaging=0).start(start).average is None


def test_adam_stays_in_the_box() -> None:
    start = torch.rand(1, 3, 4, 4)
    state = run(adam.build(lr=0.3), Counted(lambda x: (-x.sum(), -torch.ones_like(x)), 20), start)
    assert torch.equal(state.x, torch.ones_like(start))


def test_adam_goes_back_from_what_is_not_finite_and_takes_shorter_steps() -> None:
    evaluate, start = bowl()
    optimizer = adam.build()
    state = optimizer.step(evaluate, optimizer.start(start))
    twin = copy.deepcopy(state)
    nan_gradient = (evaluate(state.x)[0], evaluate(state.x)[1].index_fill(3, torch.tensor(2), float("nan")))
    state = optimizer.step(lambda x: nan_gradient, state)
    assert torch.equal(state.x, start) and float(state.lr) == 0.01
    for name in ("first", "second", "ones", "average"):
        assert torch.equal(getattr(state, name), getattr(twin, name)), name
    state = go_on(optimizer, Counted(evaluate, 400), state)
    assert float(evaluate(state.x)[0]) < 1e-3 * float(evaluate(start)[0])


def test_adam_that_never_sees_a_finite_loss_stays_where_it_is() -> None:
    start = torch.rand(1, 3, 4, 4)
    state = run(adam.build(), Counted(lambda x: (x.sum() * inf, x), 5), start)
    assert torch.equal(state.x, start) and torch.equal(state.average, start)


def test_adam_never_waits_for_the_device() -> None:
    """The meta device has no data: reading a number from it raises."""
    optimizer = adam.build()
    state = optimizer.start(torch.empty(1, 3, 4, 4, device="meta"))
    with pytest.raises(Exception, match=r"meta|Meta"):
        float(state.lr)
    for _ in range(3):
        state = optimizer.step(lambda x: (x.sum(), 2 * x), state)
    assert state.x.is_meta and state.average is not None and state.average.is_meta


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("lbfgs", {"history": 0}, "history 0"),
        ("lbfgs", {"max_retries": -1}, "max_retries -1"),
        ("lbfgsb", {"history": 0}, "history 0"),
        ("adam", {"lr": 0}, "lr 0"),
        ("adam", {"averaging": 1.0}, "averaging 1.0"),
    ],
)
def test_says_what_is_wrong_with_an_option(name: str, options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        catalog.load("optimizers", name, **options)


def test_adam_moves_a_picture_part_by_part_to_the_same_bits(monkeypatch) -> None:
    start, pull = torch.rand(1, 3, 40, 50), torch.rand(1, 3, 40, 50)
    ends = []
    for part in (adam.PART, 512):
        monkeypatch.setattr(adam, "PART", part)
        optimizer = adam.build(lr=0.1)
        state = optimizer.start(start)
        for step in range(4):
            spoilt = torch.tensor(float("nan") if step == 2 else 0.0)
            state = optimizer.step(lambda x, spoilt=spoilt: ((x - pull).square().sum(), x - pull + spoilt), state)
        ends.append(state)
    for one, other in zip(*(vars(state).values() for state in ends), strict=True):
        assert one is other or torch.equal(one, other)
