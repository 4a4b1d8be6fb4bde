"""Moments of features and of colours: against numpy, and against one another."""

import numpy as np
import pytest
import torch

from gatys_lab.models._moments import COLOUR_EPS, colours, matched, normalise, recoloured

torch.manual_seed(0)
IMAGE = torch.rand(2, 3, 12, 10, dtype=torch.float64) @ torch.rand(10, 10, dtype=torch.float64) / 5
OTHER = torch.rand(2, 3, 9, 16, dtype=torch.float64) ** 3
MASK = torch.rand(2, 1, 12, 10, dtype=torch.float64)
CLOSE = {"atol": 1e-10, "rtol": 1e-8}


@pytest.mark.parametrize("mask", [None, MASK])
def test_colours_are_the_mean_and_a_root_of_the_covariance(mask):
    mean, root = colours(IMAGE, mask)
    for i, image in enumerate(IMAGE.flatten(2).numpy()):
        weights = None if mask is None else mask[i].flatten().numpy()
        assert np.allclose(mean[i].flatten(), np.average(image, axis=1, weights=weights))
        wanted = np.cov(image, ddof=0, aweights=weights) + COLOUR_EPS * np.eye(3)
        assert np.allclose(root[i] @ root[i].T, wanted, atol=1e-12)


def test_a_recoloured_picture_has_the_others_colours_and_its_own_are_left():
    mean, root = colours(OTHER)
    found = colours(recoloured(IMAGE, mean, root))
    torch.testing.assert_close(found[0], mean, **CLOSE)
    torch.testing.assert_close(found[1], root, atol=2e-3, rtol=0)  # COLOUR_EPS is added twice
    torch.testing.assert_close(recoloured(IMAGE, *colours(IMAGE)), IMAGE, **CLOSE)
    one_by_one = [recoloured(IMAGE[i : i + 1], mean[i : i + 1], root[i : i + 1]) for i in range(2)]
    torch.testing.assert_close(recoloured(IMAGE, mean, root), torch.cat(one_by_one), **CLOSE)


def test_what_is_grey_stays_grey_in_a_grey_style_and_takes_a_coloured_ones_main_axis():
    grey = torch.rand(1, 1, 8, 8, dtype=torch.float64).expand(1, 3, 8, 8)
    found = recoloured(IMAGE[:1], *colours(grey))
    assert (found - found.mean(1, keepdim=True)).abs().max() < 0.1  # of COLOUR_EPS
    painted = recoloured(grey, *colours(OTHER[:1]))
    assert torch.linalg.matrix_rank((painted - painted.mean((2, 3), keepdim=True)).flatten(2)[0], rtol=0.02) == 1


def test_a_flat_picture_has_finite_gradients():
    flat = torch.full((1, 3, 6, 6), 0.5, requires_grad=True)
    recoloured(flat, *colours(OTHER[:1].float())).square().sum().backward()
    assert flat.grad is not None and flat.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_picture_is_matched_as_many_are(dtype):
    features = torch.randn(1, 20, 16, 12).to(dtype, memory_format=torch.channels_last)
    mean, std = torch.randn(1, 20, 1, 1), torch.rand(1, 20, 1, 1)
    alone, both = matched(features, mean, std), matched(features.expand(2, -1, -1, -1), mean, std)
    assert alone.dtype == both.dtype == dtype
    torch.testing.assert_close(both[:1], alone, atol=1e-5 if dtype == torch.float32 else 0.03, rtol=0)
    torch.testing.assert_close(alone.float(), normalise(features) * std + mean, atol=0.03, rtol=0)


def test_colours_are_exact_while_a_model_learns_in_16_bits():
    image, (mean, root) = IMAGE.float(), colours(OTHER.float())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(colours(OTHER.float())[1], root)
        found = recoloured(image, mean, root)
    assert torch.equal(found, recoloured(image, mean, root))
