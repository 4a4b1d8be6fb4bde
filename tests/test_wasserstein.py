"""The losses that measure transport (sliced, by channel, of Gaussians) against slow oracles and their identities."""

import oracles
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from loss_cases import Largest, features, sides, value
from torch import Tensor

from gatys_lab import catalog
from gatys_lab.losses import _transport
from gatys_lab.losses.gaussian_wasserstein import GaussianWasserstein
from gatys_lab.losses.histogram import Histogram
from gatys_lab.losses.sliced_wasserstein import SlicedWasserstein
from gatys_lab.metrics._colours import squared_wasserstein

NAMES = ("sliced-wasserstein", "gaussian-wasserstein", "histogram")


def gradient(name: str, f: Tensor, style: Tensor) -> Tensor:
    loss, f = catalog.load("losses", name), f.clone().requires_grad_()
    return torch.autograd.grad(loss(f, loss.fit(style, f)), f)[0]


# Against the oracles


@pytest.mark.parametrize("masked", [False, True])
class TestOracles:
    @pytest.mark.parametrize("directions", [None, 1, 7])
    def test_sliced(self, masked: bool, directions: int | None) -> None:
        f, style, masks, parts = sides(masked)
        axes = SlicedWasserstein(directions).fit(style, f).axes.numpy()
        assert axes.shape == (directions or 3, 3)
        expected = oracles.sliced_wasserstein(*parts, axes)
        assert value("sliced-wasserstein", f, style, masks, directions=directions) == pytest.approx(expected, rel=1e-9)

    def test_histogram(self, masked: bool) -> None:
        f, style, masks, parts = sides(masked)
        expected = oracles.sliced_wasserstein(*parts, torch.eye(3, dtype=torch.float64).numpy())
        assert value("histogram", f, style, masks) == pytest.approx(expected, rel=1e-9)

    def test_gaussian(self, masked: bool) -> None:
        f, style, masks, parts = sides(masked)
        assert value("gaussian-wasserstein", f, style, masks) == pytest.approx(
            oracles.gaussian_wasserstein(*parts), rel=1e-8
        )


# Transport of numbers


@given(n=st.integers(1, 9), m=st.integers(1, 9), levels=st.integers(1, 6), seed=st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_rows_with_equal_numbers_of_any_lengths(n: int, m: int, levels: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    u, v = (torch.randint(levels, (1, count), generator=generator).double() for count in (n, m))
    p, q = (torch.randint(4, (1, count), generator=generator).double() for count in (n, m))
    p, q = (w / w.sum() if w.sum() > 0 else torch.full_like(w, 1 / w.shape[1]) for w in (p, q))
    plain = _transport.squared_wasserstein(u[None], None, _transport.quantiles(v, None))
    assert float(plain) == pytest.approx(float(squared_wasserstein(u[0], v[0])), abs=1e-12)
    weighted = _transport.squared_wasserstein(u[None], p, _transport.quantiles(v, q))
    expected = oracles.squared_wasserstein(*(t[0].numpy() for t in (u, p, v, q)))
    assert float(weighted) == pytest.approx(expected, abs=1e-12)


def test_goals_are_the_style_in_our_order() -> None:
    u, v = torch.rand(1, 2, 30, dtype=torch.float64), torch.rand(2, 30, dtype=torch.float64)
    goals, rest = _transport._goals(u, None, _transport.quantiles(v, None))
    torch.testing.assert_close(goals[0].sort(1).values, v.sort(1).values)
    assert (goals[0].argsort(1) == u[0].argsort(1)).all()
    assert float(rest) == pytest.approx(0, abs=1e-14)


def test_blocks_of_rows_change_nothing(monkeypatch) -> None:
    f, style, masks, _ = sides(masked=True)
    for each in ((None, None), masks):
        whole = value("histogram", f, style, each)
        with monkeypatch.context() as patch:
            patch.setattr(_transport, "BLOCK_BYTES", 1)
            assert value("histogram", f, style, each) == pytest.approx(whole, rel=1e-14)


@pytest.mark.parametrize("name", ["sliced-wasserstein", "histogram"])
def test_a_flat_sky_moves_as_one(name: str) -> None:
    f, style = features(3, 6, 5, seed=0), features(3, 4, 7, seed=1)
    f[..., :3, :] = f[..., :1, :1]
    sky = gradient(name, f, style)[..., :3, :]
    torch.testing.assert_close(sky, sky[..., :1, :1].expand_as(sky))
    assert (sky.abs().amax((0, 2, 3)) > 1e-4).all()


@pytest.mark.parametrize("name", ["sliced-wasserstein", "histogram"])
def test_memory_grows_with_the_positions(name: str) -> None:
    f, style = torch.rand(1, 4, 64, 64).requires_grad_(), torch.rand(1, 4, 60, 70)
    loss = catalog.load("losses", name)
    with Largest() as largest:
        loss(f, loss.fit(style, f)).backward()
    assert largest.bytes <= 4 * f.nbytes < 64 * 64 * 64 * 64 * 4 / 200


# Identities


@pytest.mark.parametrize("name", NAMES)
def test_a_shift_is_as_long_as_it_is(name: str) -> None:
    f, shift = features(5, 6, 4, seed=3), torch.randn(5, dtype=torch.float64)
    length = float(shift.square().sum())
    expected = length if name == "gaussian-wasserstein" else length / 5
    assert value(name, f + shift[:, None, None], f) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("name", NAMES)
@given(seed=st.integers(0, 1000), h=st.integers(1, 5))
@settings(max_examples=8, deadline=None)
def test_permuted_positions_change_nothing(name: str, seed: int, h: int) -> None:
    f, style = features(3, h, 4, seed), features(3, 4, 4, seed + 1)
    order = torch.randperm(4 * h, generator=torch.Generator().manual_seed(seed))
    permuted = f.flatten(2)[:, :, order].view_as(f)
    assert value(name, permuted, style) == pytest.approx(value(name, f, style), rel=1e-8, abs=1e-12)


def test_directions_of_a_frame_stand_at_right_angles() -> None:
    axes = SlicedWasserstein(8, seed=1).fit(torch.rand(1, 4, 3, 3).double(), torch.rand(1, 4, 3, 3).double()).axes
    for frame in axes.split(4):
        torch.testing.assert_close(frame @ frame.mT, torch.eye(4, dtype=torch.float64))
    assert not torch.allclose(axes[:4].abs(), axes[4:].abs(), atol=0.01)


def test_only_slices_see_more_than_means_and_covariances() -> None:
    """Two values, and three, with the same mean and variance in each channel, and channels without correlation."""
    two = torch.tensor([-1.0, 1.0], dtype=torch.float64)
    three = torch.tensor([-(1.5**0.5), 0.0, 1.5**0.5], dtype=torch.float64)
    f, style = (torch.cartesian_prod(v, v).T[None, :, :, None] for v in (two, three))
    assert value("gaussian-wasserstein", f, style) == pytest.approx(0, abs=1e-12)
    assert value("sliced-wasserstein", f, style) > 0.05
    assert value("histogram", f, style) > 0.05


def test_the_histogram_does_not_see_how_channels_go_together() -> None:
    style = features(2, 6, 6, seed=0)
    f = torch.stack([style[:, 0], style[:, 1].flip(1, 2)], 1)
    assert value("histogram", f, style) == pytest.approx(0, abs=1e-14)
    assert min(value("sliced-wasserstein", f, style), value("gaussian-wasserstein", f, style)) > 1e-3


def test_gaussians_without_correlation_are_bns() -> None:
    hadamard = torch.tensor([[1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]], dtype=torch.float64)
    scales, shifts = torch.rand(2, 3, 1, dtype=torch.float64), torch.randn(2, 3, 1, dtype=torch.float64)
    f, style = ((hadamard * scales[i] + shifts[i]).view(1, 3, 2, 2) for i in (0, 1))
    assert value("gaussian-wasserstein", f, style) == pytest.approx(3 * value("bn", f, style), rel=1e-9)


def test_gaussians_do_not_care_for_the_basis() -> None:
    f, style, _, _ = sides(masked=False)
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64)).Q
    turned = (torch.einsum("dc,nchw->ndhw", turn, t) for t in (f, style))
    assert value("gaussian-wasserstein", *turned) == pytest.approx(value("gaussian-wasserstein", f, style), rel=1e-8)


@pytest.mark.parametrize("side", ["picture", "style", "both"])
def test_gaussians_of_fewer_positions_than_channels(side: str) -> None:
    few, many = features(12, 2, 3, seed=0), features(12, 6, 6, seed=1)
    f, style = {"picture": (few, many), "style": (many, few), "both": (few, features(12, 2, 2, seed=2))}[side]
    f[:, 4] = 0.5  # and a channel that is flat
    loss = GaussianWasserstein()
    target = loss.fit(style, f)
    assert torch.autograd.gradcheck(lambda x: loss(x, target), f.clone().requires_grad_(), eps=1e-4, atol=1e-4)
    exact, single = (
        gradient("gaussian-wasserstein", f, style),
        gradient("gaussian-wasserstein", f.float(), style.float()),
    )
    assert (single - exact).norm() < 1e-3 * exact.norm()


# Options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"directions": 0}, "directions=0; wanted a whole number of at least 1"),
        ({"directions": "many"}, "directions='many' of sliced-wasserstein; wanted a whole number"),
        ({"seed": -1}, "seed=-1; wanted a whole number of at least 0"),
    ],
)
def test_options_out_of_range(options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        catalog.load("losses", "sliced-wasserstein", **options)


def test_another_seed_looks_elsewhere() -> None:
    f, style, _, _ = sides(masked=False)
    assert value("sliced-wasserstein", f, style, seed=1) != pytest.approx(
        value("sliced-wasserstein", f, style), rel=1e-4
    )


def test_the_names_build_what_the_modules_export() -> None:
    built = [type(catalog.load("losses", name)) for name in NAMES]
    assert built == [SlicedWasserstein, GaussianWasserstein, Histogram]
