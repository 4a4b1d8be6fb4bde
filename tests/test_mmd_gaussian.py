"""The Gaussian MMD's estimators: what they converge to, their draws, and the bandwidth."""

from typing import Any

import numpy as np
import oracles
import pytest
import torch
from loss_cases import SMOOTH, features, sides, value
from torch import Tensor

from gatys_lab.losses import _estimators, mmd_gaussian


@pytest.mark.parametrize("masked", [False, True])
def test_fourier_converges_to_the_biased_exact_value(masked: bool) -> None:
    f, style, masks, parts = sides(masked)
    exact = oracles.mmd(oracles.gaussian(1.3**2), *parts)

    def error(count: int) -> float:
        seeds = [value("mmd-gaussian", f, style, masks, bandwidth=1.3, features=count, seed=s) for s in range(8)]
        return float(np.sqrt(np.mean([(v / exact - 1) ** 2 for v in seeds])))

    assert error(20_000) < 0.015
    assert error(20_000) < error(200) / 4  # as 1 / sqrt(D): a tenth


@pytest.mark.parametrize("masked", [False, True])
def test_linear_time_is_right_on_average(masked: bool) -> None:
    """Over seeds its mean is the unbiased value: its quadruples are drawn from all pairs of different positions."""
    f, style, masks, parts = sides(masked)
    exact = oracles.mmd(oracles.gaussian(1.3**2), *parts, unbiased=True)
    options = {"estimator": "linear", "bandwidth": 1.3}
    draws = [value("mmd-gaussian", f, style, masks, seed=seed, **options) for seed in range(400)]
    bias = 0.02 if masked else 0.0  # of the ratio of weighted sums, over only ten quadruples
    assert abs(np.mean(draws) - exact) < 4 * np.std(draws) / 20 + bias


@pytest.mark.parametrize("label", ["fourier", "linear time", "exact", "unbiased"])
def test_a_gaussian_sees_differences_only(label: str) -> None:
    f, style, _, _ = sides(masked=False)
    name, options = SMOOTH[label]
    moved = value(name, f + 3, style + 3, **options)
    assert moved == pytest.approx(value(name, f, style, **options), rel=1e-6, abs=1e-12)


def test_the_bandwidth_is_the_mean_squared_distance_and_fixed() -> None:
    f, style, _, (x, _, y, _) = sides(masked=False)
    s2 = oracles.mean_squared_distance(x, y)
    by_rule, by_hand = mmd_gaussian.build("exact"), mmd_gaussian.build("exact", bandwidth=s2**0.5)
    later = f + 0.5
    value_by_rule = by_rule(later, by_rule.fit(style, f))
    assert float(value_by_rule) == pytest.approx(float(by_hand(later, by_hand.fit(style, f))), rel=1e-10)
    assert float(value_by_rule) != pytest.approx(float(by_rule(later, by_rule.fit(style, later))), rel=1e-6)


def test_unbiased_at_the_style_itself_is_at_most_0() -> None:
    style = features(3, 4, 5, seed=1)
    assert -2 / (20 - 1) <= value("mmd-gaussian", style, style, estimator="exact", unbiased=True) <= 0


def test_linear_time_at_the_style_itself_is_within_its_sampling_error() -> None:
    style = features(3, 40, 50, seed=1)
    draws = [value("mmd-gaussian", style, style, estimator="linear", seed=seed) for seed in range(8)]
    assert max(map(abs, draws)) < 4 * 2 / 1000**0.5  # each of 1000 terms lies in [-2, 2], deviates by less than 2
    assert min(draws) < 0 < max(draws)


def test_fourier_gives_nearly_the_exact_gradient() -> None:
    """The measurement behind the default, in small: see the table in mmd_gaussian.py."""
    f, style = features(32, 16, 16, seed=0).requires_grad_(), features(32, 16, 16, seed=1)

    def gradient(**options: Any) -> Tensor:
        loss = mmd_gaussian.build(**options)
        return torch.autograd.grad(loss(f, loss.fit(style, f)), f)[0].flatten()

    exact = gradient(estimator="exact")
    cosines = {name: torch.cosine_similarity(gradient(estimator=name), exact, dim=0) for name in ("fourier", "linear")}
    assert cosines["fourier"] > 0.7
    assert cosines["fourier"] > 3 * cosines["linear"]


def test_frequencies_are_orthogonal_in_runs_and_normal_by_themselves() -> None:
    frequencies = _estimators._orthogonal(8, 20_000, torch.Generator().manual_seed(0))  # (8, D)
    products = frequencies[:, :8].T @ frequencies[:, :8]
    torch.testing.assert_close(products, products.diagonal().diag())
    torch.testing.assert_close(frequencies @ frequencies.T / 20_000, torch.eye(8).double(), atol=0.05, rtol=0)
    assert float((frequencies**4).mean()) == pytest.approx(3, rel=0.05)  # a normal's fourth moment


def test_the_same_draws_in_any_precision() -> None:
    f, style = features(3, 8, 8, seed=0), features(3, 8, 8, seed=1)
    for estimator in ("fourier", "linear"):
        double = value("mmd-gaussian", f, style, estimator=estimator)
        single = value("mmd-gaussian", f.float(), style.float(), estimator=estimator)
        assert single == pytest.approx(double, rel=1e-4)
        assert value("mmd-gaussian", f, style, estimator=estimator, seed=1) != pytest.approx(double, rel=1e-4)


def test_the_gaussian_keeps_no_pairs_for_the_backward_pass() -> None:
    f, style, kept = torch.rand(1, 3, 32, 32).requires_grad_(), torch.rand(1, 3, 32, 32), [0]

    def pack(tensor: Tensor) -> Tensor:
        kept[0] = max(kept[0], tensor.untyped_storage().nbytes())
        return tensor

    loss = mmd_gaussian.build("exact")
    target = loss.fit(style, f)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss(f, target)
    assert kept[0] < 1 << 16 < 1024 * 1024 * 4
