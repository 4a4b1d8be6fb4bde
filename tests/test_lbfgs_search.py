"""The line search of lbfgs, on functions of one number."""

from math import inf

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from optimizer_problems import differentiated

from gatys_lab.optimizers import _linesearch

LINES = {
    "parabola": lambda t: (t - 3) ** 2,
    "quartic": lambda t: (t - 2) ** 4 - t,
    "far": lambda t: (t / 1e4 - 1) ** 2,
    "near": lambda t: (1e5 * t - 1) ** 2,
    "wavy": lambda t: (4 * t).sin() / 8 - 0.8 * t + 0.02 * t**2,
    "wall": lambda t: t.exp() - 3 * t - (2 - t).log(),  # not a number beyond 2
    "hollow": lambda t: -t / (t**2 + 2),  # Moré & Thuente 1994, eq. 5.1
}


@given(st.sampled_from(sorted(LINES)), st.floats(-4, 4))
@settings(max_examples=150, deadline=None)
def test_the_search_ends_where_both_wolfe_conditions_hold(name: str, power: float) -> None:
    line = differentiated(LINES[name])

    def at(step: float) -> tuple[float, float]:
        loss, slope = line(torch.tensor(step, dtype=torch.float64))
        return (float(loss), float(slope)) if torch.isfinite(loss) else (inf, float("nan"))

    loss, slope = at(0.0)
    search = _linesearch.begin(loss, slope, 10.0**power, noise=0.0)
    while search.outcome is None:
        tried = search.step
        search = _linesearch.advance(search, *at(tried))
    assert search.outcome == "accepted" and search.low.step == tried
    assert at(tried)[0] <= loss + 1e-4 * tried * slope
    assert abs(at(tried)[1]) <= -0.9 * slope


@pytest.mark.parametrize("step", [1e-3, 10**-1.5, 10**0.5, 1e3])
def test_a_kink_that_interpolation_misses_is_found_by_bisection(step: float) -> None:
    line = differentiated(lambda t: 50 * (t - 1 + ((t - 1) ** 2 + 1e-4).sqrt()) - t)  # flat before 1, steep after it
    loss, slope = (float(part) for part in line(torch.zeros((), dtype=torch.float64)))
    search = _linesearch.begin(loss, slope, step, noise=0.0)
    while search.outcome is None:
        search = _linesearch.advance(search, *(float(part) for part in line(torch.tensor(search.step).double())))
    assert search.outcome == "accepted"


def test_below_the_rounding_of_the_loss_slopes_decide() -> None:
    noise, steps = 1e-7, []
    search = _linesearch.begin(1.0, -1e-6, 100.0, noise)  # a parabola of depth 5e-9, whose loss reads 1 + 0.5e-7
    while search.outcome is None:
        steps.append(search.step)
        search = _linesearch.advance(search, 1.0 + noise / 2, -1e-6 + 1e-4 * search.step)
    assert search.outcome == "accepted" and abs(search.low.step - 0.01) < 0.9 * 0.01 and len(steps) < 4
