"""lbfgs against the two-loop recursion and the Wolfe conditions; what goes wrong, and how it goes on."""

from math import inf, isfinite, pi
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from optimizer_problems import (
    Counted,
    Spent,
    bowl,
    differentiated,
    go_on,
    gram,
    quadratic,
    raising,
    rosenbrock,
    run,
)
from torch import Tensor
from torch.nn import functional as F

from gatys_lab.optimizers import _history, _linesearch, _spectrum, lbfgs

DTYPES = (torch.float32, torch.float64)
pytestmark = pytest.mark.usefixtures("one_thread")


def two_loops(pairs: list[tuple[Tensor, Tensor]], gradient: Tensor, scale: float) -> Tensor:
    """Nocedal & Wright 2006, algorithm 7.4: H g."""
    q, alphas = gradient.clone(), []
    for s, y in reversed(pairs):
        alphas.append(s @ q / (s @ y))
        q = q - alphas[-1] * y
    q = scale * q
    for (s, y), alpha in zip(pairs, reversed(alphas), strict=True):
        q = q + s * (alpha - y @ q / (s @ y))
    return q


@given(st.integers(1, 6), st.integers(1, 14), st.floats(0.01, 100), st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_the_direction_is_that_of_the_two_loops(size: int, steps: int, scale: float, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    n = 20
    root = torch.randn(n, n, generator=draw, dtype=torch.float64)
    hessian = root @ root.T / n + 0.1 * torch.eye(n, dtype=torch.float64)
    history = _history.empty(size, root[0])
    pairs: list[tuple[Tensor, Tensor]] = []
    gradient = torch.randn(n, generator=draw, dtype=torch.float64)
    for _ in range(steps):
        s = torch.randn(n, generator=draw, dtype=torch.float64)
        y = hessian @ s
        gradient = gradient + y
        against = _history.products(history, y).numpy()
        _history.turn(history, against)
        own = (float(s @ y), float(y @ y), float(s @ gradient), float(y @ gradient))
        _history.add(history, s, y, own, against)
        pairs = [*pairs, (s, y)][-size:]
    out, slope = _history.direction(history, gradient, float(gradient @ gradient), scale)
    wanted = -two_loops(pairs, gradient, scale)
    assert float((out - wanted).norm()) < 1e-10 * float(wanted.norm())
    assert slope == pytest.approx(float(gradient @ wanted), rel=1e-9)


def test_every_direction_of_a_run_is_that_of_the_two_loops() -> None:
    evaluate, start = rosenbrock(0, size=50)
    optimizer = lbfgs.build(history=4)
    pairs: list[tuple[Tensor, Tensor]] = []
    state = run(optimizer, Counted(evaluate, 1), start)  # so that the gradient at the start is known
    for _ in range(30):
        x, gradient, scale = state.x.clone(), state.gradient.clone(), state.scale
        state = optimizer.step(evaluate, state)
        s, y = state.x - x, state.gradient - gradient
        if pairs:
            wanted = -two_loops(pairs, gradient, scale)
            assert float((s / s.norm() - wanted / wanted.norm()).norm()) < 1e-9  # x' - x rounds
        pairs = [*pairs, (s, y)][-4:]


def test_accepted_points_satisfy_the_strong_wolfe_conditions() -> None:
    for evaluate, start in (rosenbrock(1), quadratic(1e4, 1), gram(1, 32, torch.float64)):
        optimizer = lbfgs.build()
        state = optimizer.start(start)
        for _ in range(40):
            x = state.x.clone()
            state = optimizer.step(evaluate, state)
            (loss0, g0), (loss1, g1), p = evaluate(x), evaluate(state.x), state.x - x
            assert float(loss1) <= float(loss0 + 1e-4 * (g0 * p).sum()) * (1 + 1e-14)
            assert abs(float((g1 * p).sum())) <= -0.9000001 * float((g0 * p).sum())


def test_no_point_is_evaluated_twice_and_hardly_more_than_one_a_step() -> None:
    evaluate, start = rosenbrock(2)
    points: list[Tensor] = []

    def watched(x: Tensor) -> tuple[Tensor, Tensor]:
        points.append(x.clone())
        return evaluate(x)

    optimizer = lbfgs.build()
    state = optimizer.start(start)
    for _ in range(100):
        state = optimizer.step(watched, state)
        assert torch.equal(points[-1], state.x) and state.loss == float(evaluate(state.x)[0])
    assert len({bytes(x.numpy().tobytes()) for x in points}) == len(points) <= 140


# ---- what goes wrong


@pytest.mark.parametrize("at", range(1, 30, 3))
def test_a_step_that_is_interrupted_can_be_done_again(at: int) -> None:
    evaluate, start = rosenbrock(3, size=20)
    optimizer, state = lbfgs.build(history=3), lbfgs.build(history=3).start(start)
    counted, accepted, steps = raising(evaluate, at), start.clone(), 0
    with pytest.raises(Spent):
        while True:
            state = optimizer.step(counted, state)
            accepted, steps = state.x.clone(), steps + 1
    assert torch.equal(state.x, accepted)
    for _ in range(steps, 25):
        state = optimizer.step(evaluate, state)
    whole = optimizer.start(start)
    for _ in range(25):
        whole = optimizer.step(evaluate, whole)
    assert torch.equal(state.x, whole.x)


@given(st.sets(st.integers(0, 40), max_size=25), st.integers(2, 4), st.booleans())
@settings(max_examples=25, deadline=None)
def test_evaluations_that_are_not_finite_are_survived(bad: set[int], first: int, in_gradient: bool) -> None:
    """Any number of them, but no two in a row."""
    evaluate, start = quadratic(100.0, 0, size=40)
    calls = iter(range(1, 10**6))
    spoilt = {first + 2 * k for k in bad}

    def faulty(x: Tensor) -> tuple[Tensor, Tensor]:
        loss, gradient = evaluate(x)
        if next(calls) not in spoilt:
            return loss, gradient
        return (loss, gradient.index_fill(0, torch.tensor(7), inf)) if in_gradient else (loss * float("nan"), gradient)

    state = run(lbfgs.build(max_retries=1), Counted(faulty, 250), start)
    assert state.reason in (None, "converged")
    assert float(evaluate(state.x)[0]) < 1e-8 * float(evaluate(start)[0])


def test_an_edge_of_the_domain_a_thousand_times_nearer_than_the_first_move() -> None:
    evaluate = differentiated(lambda x: -(1 - (1e4 * x) ** 2).log().sum())  # not a number where |x| > 1e-4
    start = torch.linspace(-9e-5, 9e-5, 50, dtype=torch.float64)
    counted = Counted(evaluate, 60)
    state = run(lbfgs.build(), counted, start)
    assert not isfinite(counted.losses[1]) and float(state.x.abs().max()) < 1e-12


@pytest.mark.parametrize("power", [1, 2])
def test_a_loss_without_a_bottom_is_followed_down(power: int) -> None:
    """No step satisfies the curvature condition, and no pair has (positive) curvature."""
    evaluate = differentiated(lambda x: -(x**power).sum())
    state = run(lbfgs.build(), Counted(evaluate, 45), torch.ones(4, dtype=torch.float64))
    assert state.reason is None and state.loss < -1e11 and state.scale > 0


def test_diverged_after_so_many_failures_in_a_row() -> None:
    evaluate, start = bowl()
    never = Counted(lambda x: (evaluate(x)[0] * inf, evaluate(x)[1]))
    state = run(lbfgs.build(max_retries=3), never, start)
    assert state.reason == "diverged" and len(never.losses) == 4 and torch.equal(state.x, start)
    only_there = Counted(lambda x: (evaluate(x)[0] * (1.0 if torch.equal(x, start) else inf), evaluate(x)[1]))
    state = run(lbfgs.build(max_retries=3), only_there, start)
    assert state.reason == "diverged" and len(only_there.losses) == 5 and torch.equal(state.x, start)


def test_stalled_where_nothing_helps() -> None:
    evaluate, start = bowl()
    wrong = Counted(lambda x: (evaluate(x)[0], -evaluate(x)[1]))  # the way down is up
    state = run(lbfgs.build(max_retries=2), wrong, start)
    assert state.reason == "stalled" and len(wrong.losses) <= 1 + 3 * _linesearch.TRIALS
    assert torch.equal(state.x, start)


def aimless(x: Tensor) -> tuple[Tensor, Tensor]:
    """Any step is accepted, since the slope changes, and none leads anywhere."""
    return torch.ones((), dtype=x.dtype), torch.randn(x.shape, dtype=x.dtype)


def test_steps_that_lead_nowhere_are_a_stall() -> None:
    start = bowl()[1]
    counted = Counted(aimless, 2000)
    state = run(lbfgs.build(max_retries=2), counted, start)
    assert state.reason == "stalled" and state.dropped == 3
    assert len(counted.losses) <= 1 + 3 * (lbfgs.PATIENCE + _linesearch.TRIALS)


def test_after_a_stall_it_goes_on_from_an_empty_history() -> None:
    evaluate, start = quadratic(100.0, 0, size=40)
    optimizer = lbfgs.build()
    state = go_on(optimizer, Counted(evaluate, 10), optimizer.start(start))
    before = state.loss
    state = go_on(optimizer, Counted(lambda x: (evaluate(x)[0] * 0 + before, aimless(x)[1]), 60), state)
    assert state.reason is None and state.dropped >= 1
    state.squared = float(evaluate(state.x)[1].square().sum())
    state = go_on(optimizer, Counted(evaluate, 300), state)
    assert state.restarts == 0 and float(evaluate(state.x)[0]) < 1e-8 * float(evaluate(start)[0])


@pytest.mark.parametrize("poison", ["steps that were not made", "numbers that are none"])
def test_a_poisoned_history_is_dropped(poison: str) -> None:
    evaluate, start = quadratic(1e4, 1, size=40)
    optimizer = lbfgs.build(max_retries=1)
    state = optimizer.start(start)
    for _ in range(4):  # a failure that is overcome is forgiven
        state = go_on(optimizer, Counted(evaluate, 60), state)
        if poison == "steps that were not made":
            state.history.pairs[0].neg_()
        else:
            state.history.yy.fill_(float("nan"))
    state = go_on(optimizer, Counted(evaluate, 300), state)
    assert state.reason in (None, "converged")
    assert float(evaluate(state.x)[0]) < 1e-8 * float(evaluate(start)[0])


def test_converged_where_the_gradient_vanishes() -> None:
    evaluate, start = quadratic(100.0, 0, size=40)
    state = run(lbfgs.build(), Counted(evaluate, 1000), start)
    assert state.reason == "converged"
    counted = Counted(lambda x: (x.sum() * 0, x * 0))
    state = run(lbfgs.build(), counted, start)
    assert state.reason == "converged" and len(counted.losses) == 1 and torch.equal(state.x, start)


@pytest.mark.parametrize("power", [-60, -20, 20, 60])
def test_the_scale_of_the_loss_does_not_matter(power: int) -> None:
    evaluate, start = rosenbrock(4, size=100)

    def scaled(x: Tensor) -> tuple[Tensor, Tensor]:
        loss, gradient = evaluate(x)
        return loss * 2.0**power, gradient * 2.0**power  # exact

    one, other = (run(lbfgs.build(), Counted(each, 60), start) for each in (evaluate, scaled))
    assert torch.equal(one.x, other.x)


def test_a_gradient_in_a_reused_buffer_is_copied() -> None:
    evaluate, start = rosenbrock(5, size=100)
    buffer = torch.empty_like(start)

    def reusing(x: Tensor) -> tuple[Tensor, Tensor]:
        loss, gradient = evaluate(x)
        return loss, buffer.copy_(gradient)

    one, other = (run(lbfgs.build(), Counted(each, 60), start) for each in (evaluate, reusing))
    assert torch.equal(one.x, other.x)


def test_float32_does_not_freeze() -> None:
    """500 evaluations on a Gram objective: as low as float64, within the luck of two paths, and not ended before."""
    losses = {}
    for dtype in DTYPES:
        evaluate, start = gram(0, 32, dtype, noise=True)
        counted = Counted(evaluate, 500)
        state = run(lbfgs.build(), counted, start)
        assert state.reason is None
        losses[dtype] = min(counted.losses)
        assert losses[dtype] < 0.99 * min(counted.losses[:400])
    assert losses[torch.float32] < 1.1 * losses[torch.float64]


def test_a_minimum_far_below_the_rounding_of_the_loss_is_found() -> None:
    """The loss is 1 to all of float32's digits long before its gradient vanishes."""
    bent, start = quadratic(100.0, 0, size=40)

    def offset(x: Tensor) -> tuple[Tensor, Tensor]:
        loss, gradient = bent(x.double())
        return (1 + 1e-4 * loss).float(), (1e-4 * gradient).float()

    state = run(lbfgs.build(), Counted(offset, 200), start.float())
    assert float(bent(state.x.double())[1].norm()) < 1e-5 * float(bent(start)[1].norm())


def test_one_wait_for_the_device_an_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host's own matrices are float64, the problem's tensors float32: only these would lie on a device."""
    waits = []
    for name in ("tolist", "item", "__float__", "__bool__", "__int__", "cpu", "numpy"):
        plain = getattr(Tensor, name)

        def counting(self: Tensor, *args: Any, plain: Any = plain, name: str = name) -> Any:
            if self.dtype == torch.float32:
                waits.append(name)
            return plain(self, *args)

        monkeypatch.setattr(Tensor, name, counting)
    evaluate, start = bowl(torch.float32)
    evaluations = iter(range(1, 10**6))
    optimizer = lbfgs.build()
    state = optimizer.start(start)
    for _ in range(15):
        state = optimizer.step(lambda x: (evaluate(x), next(evaluations))[0], state)
    assert waits == ["tolist"] * (next(evaluations) - 1)


def test_a_kinked_loss_falls_without_wolfe_points() -> None:
    weights = torch.arange(1.0, 21.0, dtype=torch.float64)
    evaluate = differentiated(lambda x: (weights * x.abs()).sum())
    start = torch.randn(20, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    optimizer = lbfgs.build()
    state, losses = optimizer.start(start), [float(evaluate(start)[0])]
    while state.reason is None and len(losses) < 60:
        state = optimizer.step(evaluate, state)
        losses.append(float(evaluate(state.x)[0]))
        assert state.loss == losses[-1] <= losses[-2]
    assert losses[-1] < 0.05 * losses[0]


def test_of_a_large_picture_fewer_steps_are_remembered_and_it_is_said(monkeypatch) -> None:
    x = torch.zeros(1, 3, 40, 50, dtype=torch.float32)

    def pairs(**options: int) -> int:
        return lbfgs.build(**options).start(x).history.pairs.shape[1]

    assert pairs() == 10 and not lbfgs.build().told(x.nbytes)
    monkeypatch.setattr(lbfgs, "ROOM", 8 * x.nbytes)
    assert pairs() == 4 and "remembers 4 steps" in lbfgs.build().told(x.nbytes)
    assert pairs(history=7) == 7 and not lbfgs.build(history=7).told(x.nbytes)
    assert lbfgs.build().sized(x.nbytes) == lbfgs.build(history=4)
    monkeypatch.setattr(lbfgs, "ROOM", 0)
    assert pairs() == 2


def test_the_basis_scales_waves_and_is_symmetric() -> None:
    draw = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 1, 3, 12, 15, generator=draw, dtype=torch.float64)
    assert torch.equal(_spectrum.scaled(a, 0), a)
    for power in (0.5, 1.0):
        torch.testing.assert_close((_spectrum.scaled(a, power) * b).sum(), (a * _spectrum.scaled(b, power)).sum())
        for row, column in ((0, 1), (2, 0), (3, -4)):
            phase = torch.arange(12)[:, None] * row / 12 + torch.arange(15) * column / 15
            wave = torch.cos(2 * pi * phase + 0.3).double()
            size = ((row / 12) ** 2 + (column / 15) ** 2) ** (-power / 2)
            torch.testing.assert_close(_spectrum.scaled(wave, power), size * wave, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("power", [0.5, 1.0])
def test_smooth_steps_move_large_shapes_first_and_end_at_the_same_minimum(power: float) -> None:
    goal = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def evaluate(x: Tensor) -> tuple[Tensor, Tensor]:
        return ((x - goal) ** 2).sum() / 2, x - goal

    optimizer = lbfgs.build(smooth=power)
    state = optimizer.step(evaluate, optimizer.start(torch.zeros_like(goal)))
    large, fine = (F.avg_pool2d(state.x, 4), state.x - F.interpolate(F.avg_pool2d(state.x, 4), scale_factor=4.0))
    wanted = F.avg_pool2d(goal, 4)
    assert large.norm() / wanted.norm() > 1.3 * fine.norm() / (goal - F.interpolate(wanted, scale_factor=4.0)).norm()
    for _ in range(60):
        state = optimizer.step(evaluate, state)
    torch.testing.assert_close(state.x, goal, rtol=0, atol=1e-4)


def test_drafts_are_smooth_unless_something_else_was_said() -> None:
    assert lbfgs.build().smooth is None and lbfgs.build().drafting().smooth == lbfgs.DRAFT
    assert lbfgs.build(smooth=0.0).drafting().smooth == 0
    with pytest.raises(ValueError, match=r"smooth 3; wanted 0 \(pixels\) to 2"):
        lbfgs.build(smooth=3.0)
