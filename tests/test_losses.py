"""Each style loss against its slow oracle, its identities (Li et al. 2017) and its numerical gradient."""

import doctest
import importlib
from typing import Any

import oracles
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from loss_cases import SMOOTH, Largest, features, sides, value

from gatys_lab import catalog
from gatys_lab.losses import _estimators, _kernels
from gatys_lab.losses.bn import BNStatistics
from gatys_lab.losses.gram import Gram
from gatys_lab.losses.mmd_gaussian import FourierMMD, GaussianMMD
from gatys_lab.losses.mmd_linear import LinearMMD
from gatys_lab.losses.mmd_poly import ExactPolyMMD, PolyMMD
from gatys_lab.losses.style_swap import StyleSwap

# Against the oracles


@pytest.mark.parametrize("masked", [False, True])
class TestOracles:
    def test_gram(self, masked: bool) -> None:
        f, style, masks, parts = sides(masked)
        assert value("gram", f, style, masks) == pytest.approx(oracles.gram_loss(*parts), rel=1e-10)

    def test_bn(self, masked: bool) -> None:
        f, style, masks, parts = sides(masked)
        assert value("bn", f, style, masks) == pytest.approx(oracles.bn_loss(*parts), rel=1e-10)

    def test_linear(self, masked: bool) -> None:
        f, style, masks, parts = sides(masked)
        expected = oracles.mmd(oracles.polynomial(1, 0.0), *parts)
        assert value("mmd-linear", f, style, masks) == pytest.approx(expected, rel=1e-9)

    @pytest.mark.parametrize(("degree", "c"), [(1, 0.0), (1, 2.0), (2, 0.0), (2, 0.6), (3, 0.0), (3, 1.5), (4, 0.3)])
    def test_poly(self, masked: bool, degree: int, c: float) -> None:
        f, style, masks, parts = sides(masked)
        expected = oracles.mmd(oracles.polynomial(degree, c), *parts)
        assert value("mmd-poly", f, style, masks, degree=degree, c=c) == pytest.approx(expected, rel=1e-9)

    @pytest.mark.parametrize("unbiased", [False, True])
    def test_gaussian_exact(self, masked: bool, unbiased: bool) -> None:
        f, style, masks, parts = sides(masked)
        options = {"estimator": "exact", "bandwidth": 1.3, "unbiased": unbiased}
        expected = oracles.mmd(oracles.gaussian(1.3**2), *parts, unbiased=unbiased)
        assert value("mmd-gaussian", f, style, masks, **options) == pytest.approx(expected, rel=1e-9)


# Identities


def test_gram_is_the_polynomial_mmd_of_degree_2_over_4_n_squared() -> None:
    f, style, _, _ = sides(masked=False)
    assert value("gram", f, style) == pytest.approx(value("mmd-poly", f, style) / (4 * 3**2), rel=1e-12)


@given(c=st.floats(0, 10), seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_poly_is_gram_with_a_constant_channel(c: float, seed: int) -> None:
    f, style = features(3, 4, 5, seed), features(3, 3, 3, seed + 1)
    extended = [torch.cat([t, torch.full_like(t[:, :1], c**0.5)], 1) for t in (f, style)]
    assert value("mmd-poly", f, style, c=c) == pytest.approx(4 * 4**2 * value("gram", *extended), rel=1e-9)


def test_degree_2_by_pairs_is_the_closed_form() -> None:
    f, style, _, _ = sides(masked=False)
    by_pairs = ExactPolyMMD(2, 0.7)
    assert float(by_pairs(f, by_pairs.fit(style, f))) == pytest.approx(value("mmd-poly", f, style, c=0.7), rel=1e-9)


@pytest.mark.parametrize("label", ["gram", "linear", "poly 2", "poly 3", "fourier", "exact", "unbiased", "bn"])
@given(seed=st.integers(0, 1000), h=st.integers(1, 5))
@settings(max_examples=8, deadline=None)
def test_permuted_positions_change_nothing(label: str, seed: int, h: int) -> None:
    (name, options), f, style = SMOOTH[label], features(3, h, 4, seed), features(3, 4, 4, seed + 1)
    order = torch.randperm(4 * h, generator=torch.Generator().manual_seed(seed))
    permuted = f.flatten(2)[:, :, order].view_as(f)
    assert value(name, permuted, style, **options) == pytest.approx(
        value(name, f, style, **options), rel=1e-8, abs=1e-12
    )


# Gradients


@pytest.mark.parametrize("label", SMOOTH)
@pytest.mark.parametrize("masked", [False, True])
def test_gradient(monkeypatch, label: str, masked: bool) -> None:
    monkeypatch.setattr(_kernels, "BLOCK_BYTES", 1000)  # several blocks
    monkeypatch.setattr(_estimators, "CACHE_BYTES", 1000)
    name, options = SMOOTH[label]
    f, style, masks, _ = sides(masked)
    loss = catalog.load("losses", name, **options)
    target = loss.fit(style, f, None if masks[1] is None else 0.5 + masks[1] / 2)  # a swap takes what is at least half
    assert torch.autograd.gradcheck(lambda x: loss(x, target, masks[0]), (f + 0.1).requires_grad_())


@pytest.mark.parametrize("label", ["gram", "linear", "poly 2", "fourier", "bn"])
def test_gradient_of_the_gradient(label: str) -> None:
    """The distillation of the embedded network matches gradients of style losses."""
    name, options = SMOOTH[label]
    f, style, _, _ = sides(masked=False)
    loss = catalog.load("losses", name, **options)
    target = loss.fit(style, f)
    assert torch.autograd.gradgradcheck(lambda x: loss(x, target), f[..., :2].clone().requires_grad_())


def test_a_batch_is_the_mean_of_its_members() -> None:
    f = torch.cat([features(3, 4, 5, seed) for seed in range(3)])
    for name, options in SMOOTH.values():
        loss = catalog.load("losses", name, **options)
        target = loss.fit(features(3, 3, 6, seed=9), f[:1])
        alone = torch.stack([loss(one[None], target) for one in f]).mean()
        torch.testing.assert_close(loss(f, target), alone)


@pytest.mark.parametrize("label", ["poly 3", "exact"])
def test_exact_kernels_never_hold_all_pairs(monkeypatch, label: str) -> None:
    monkeypatch.setattr(_kernels, "BLOCK_BYTES", 1 << 18)
    name, options = SMOOTH[label]
    f, style = torch.rand(1, 3, 32, 32).requires_grad_(), torch.rand(1, 3, 30, 40)
    loss = catalog.load("losses", name, **options)
    with Largest() as largest:
        loss(f, loss.fit(style, f)).backward()
    assert largest.bytes <= 1 << 18 < 32 * 32 * 32 * 32 * 4 / 15


# Options and errors


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mmd-poly", {"degree": 0}, "degree=0; wanted a whole number of at least 1"),
        ("mmd-poly", {"degree": 2.0}, "degree=2.0 of mmd-poly; wanted a whole number"),
        ("mmd-poly", {"degree": "two"}, "degree='two' of mmd-poly; wanted a whole number"),
        ("mmd-poly", {"c": -1}, "c=-1; wanted a number at least 0"),
        ("mmd-poly", {"c": float("nan")}, "c=nan of mmd-poly; wanted a number"),
        ("mmd-gaussian", {"estimator": "guess"}, "estimator='guess'; there are fourier, linear, exact"),
        ("mmd-gaussian", {"bandwidth": 0}, "bandwidth=0; wanted a number above 0"),
        ("mmd-gaussian", {"bandwidth": float("inf")}, "bandwidth=inf of mmd-gaussian; wanted a number"),
        ("mmd-gaussian", {"bandwidth": "wide"}, "bandwidth='wide' of mmd-gaussian; wanted a number"),
        ("mmd-gaussian", {"features": 0}, "features=0; wanted a whole number of at least 1"),
        ("mmd-gaussian", {"seed": -1}, "seed=-1; wanted a whole number of at least 0"),
        ("mmd-gaussian", {"unbiased": "no"}, "unbiased='no' of mmd-gaussian; wanted true or false"),
        ("mmd-gaussian", {"unbiased": True}, "unbiased means nothing to estimator=fourier"),
        ("mmd-gaussian", {"estimator": "exact", "features": 8}, "features means nothing to estimator=exact"),
        ("style-swap", {"patch": 0}, "patch=0; wanted a whole number of at least 1"),
        ("style-swap", {"patch": True}, "patch=True of style-swap; wanted a whole number"),
        ("style-swap", {"patch": 3, "stride": 4}, "stride=4 leaves gaps between patches of 3; wanted at most 3"),
    ],
)
def test_options_out_of_range(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as error:
        catalog.load("losses", name, **options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["style-swap", "mmd-gaussian"])
def test_a_target_of_another_size_is_refused(name: str) -> None:
    loss = catalog.load("losses", name, **({"estimator": "linear"} if name == "mmd-gaussian" else {}))
    target = loss.fit(torch.rand(1, 3, 6, 6), torch.rand(1, 3, 6, 6))
    with pytest.raises(ValueError, match="fit"):
        loss(torch.rand(1, 3, 5, 6), target)


def test_the_names_build_what_the_modules_export() -> None:
    built = {label: type(catalog.load("losses", name, **options)) for label, (name, options) in SMOOTH.items()}
    assert built["gram"] is Gram
    assert built["linear"] is LinearMMD
    assert (built["poly 2"], built["poly 3"]) == (PolyMMD, ExactPolyMMD)
    assert (built["fourier"], built["exact"]) == (FourierMMD, GaussianMMD)
    assert (built["bn"], built["swap"]) == (BNStatistics, StyleSwap)


@pytest.mark.parametrize("name", catalog.names("losses"))
def test_examples_in_the_docstring(name: str) -> None:
    module = importlib.import_module(f"gatys_lab.losses.{name.replace('-', '_')}")
    failed, attempted = doctest.testmod(module)
    assert attempted > 0
    assert failed == 0
