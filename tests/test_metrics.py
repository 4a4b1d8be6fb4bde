"""The metrics in 64 bits, against scikit-image, numpy, scipy, or the formula written as loops."""

import doctest

import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.optimize import linear_sum_assignment
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from gatys_lab import metrics
from gatys_lab.metrics._colours import squared_wasserstein
from gatys_lab.networks import lite

LUMA = np.array([0.299, 0.587, 0.114])
PIXELS = {"ssim": 1, "psnr": np.inf, "edges": 1, "colour_histogram": 0, "sliced_wasserstein": 0}


def pair(height=23, width=31):
    """Two related pictures (1, 3, H, W), float64, and as (H, W, 3)."""
    a = torch.rand(1, 3, height, width, dtype=torch.float64)
    b = (0.6 * a + 0.4 * torch.rand_like(a)).flip(1)
    return a, b, *(x[0].permute(1, 2, 0).numpy() for x in (a, b))


def features(seed, *sizes):
    draw = torch.Generator().manual_seed(seed)
    return {f"l{i}": torch.randn(2, *size, generator=draw, dtype=torch.float64) for i, size in enumerate(sizes)}


def test_ssim_is_scikit_images():
    a, b, x, y = pair()
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    assert float(metrics.ssim(a, b)) == pytest.approx(structural_similarity(x @ LUMA, y @ LUMA, **options), abs=1e-12)


def test_psnr_is_scikit_images():
    a, b, x, y = pair()
    assert float(metrics.psnr(a, b)) == pytest.approx(peak_signal_noise_ratio(x, y, data_range=1.0), abs=1e-9)


def test_edges_is_numpys_correlation_of_scipys_sobel():
    def steepness(pixels):
        return np.hypot(*(ndimage.sobel(pixels @ LUMA, axis) / 8 for axis in (0, 1)))[1:-1, 1:-1].ravel()

    a, b, x, y = pair()
    assert float(metrics.edges(a, b)) == pytest.approx(np.corrcoef(steepness(x), steepness(y))[0, 1], abs=1e-12)


def test_edges_see_neither_contrast_nor_sign_nor_colour():
    a = pair()[0]
    assert float(metrics.edges(a, 0.8 - 0.5 * a)) == pytest.approx(1, abs=1e-12)
    grey = (a * torch.from_numpy(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True).expand_as(a)
    assert float(metrics.edges(a, grey)) == pytest.approx(1, abs=1e-12)
    assert float(metrics.edges(a, torch.full_like(a, 0.5))) == 0


def test_the_histogram_is_numpys():
    a, b, x, y = pair()
    h, g = (np.histogramdd(p.reshape(-1, 3), 8, [(0, 1)] * 3)[0] / (23 * 31) for p in (x, y))
    assert float(metrics.colour_histogram(a, b)) == pytest.approx(1 - np.minimum(h, g).sum(), abs=1e-12)


def test_the_histogram_of_colours_that_do_not_meet_is_1_far():
    black, white = torch.zeros(1, 3, 4, 5), torch.ones(1, 3, 6, 7)
    assert float(metrics.colour_histogram(black, white)) == 1


@pytest.mark.parametrize(("n", "m"), [(7, 7), (4, 6), (3, 8)])
def test_wasserstein_is_the_best_assignment(n, m):
    u, v = torch.randn(n, dtype=torch.float64), torch.randn(m, dtype=torch.float64)
    costs = (np.repeat(u.numpy(), m)[:, None] - np.repeat(v.numpy(), n)) ** 2  # each number as often as the others
    best = costs[linear_sum_assignment(costs)].mean()
    assert float(squared_wasserstein(u, v)) == pytest.approx(best, rel=1e-12)


def test_a_palette_moved_by_v_is_v_away():
    a = 0.5 * torch.rand(1, 3, 9, 8, dtype=torch.float64)
    v = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)
    moved = a + v.view(1, 3, 1, 1)
    assert float(metrics.sliced_wasserstein(a, moved)) == pytest.approx(float(v.norm()), abs=1e-12)
    assert float(metrics.sliced_wasserstein(a, moved.repeat(1, 1, 2, 3))) == pytest.approx(float(v.norm()), abs=1e-12)


def test_a_few_frames_are_enough():
    a, b, *_ = pair()
    many = float(metrics.sliced_wasserstein(a, b, frames=1000))
    assert float(metrics.sliced_wasserstein(a, b)) == pytest.approx(many, rel=0.06)


@pytest.mark.parametrize("name", ["colour_histogram", "sliced_wasserstein"])
def test_colours_do_not_see_places(name):
    a, b, *_ = pair()
    shuffled = b.flatten(2)[..., torch.randperm(23 * 31)].view_as(b)
    distance = getattr(metrics, name)
    assert float(distance(a, shuffled)) == pytest.approx(float(distance(a, b)), abs=1e-12) != 0


def test_feature_distance_is_the_loop():
    a, b = features(0, (3, 4, 5), (6, 2, 3)), features(1, (3, 4, 5), (6, 2, 3))
    for n in range(2):
        layers = []
        for layer in a:
            x, y = a[layer][n].numpy(), b[layer][n].numpy()
            spread = sum(len(f[0].ravel()) * np.var(channel) for f in (x, y) for channel in f)
            layers.append(((x - y) ** 2).sum() / spread)
        assert float(metrics.feature_distance(a, b)[n]) == pytest.approx(np.mean(layers), rel=1e-12)


def test_feature_distance_of_unrelated_features_is_about_1_and_knows_no_scale():
    a, b = features(0, (8, 60, 60)), features(1, (8, 60, 60))
    assert metrics.feature_distance(a, b)[0] == pytest.approx(1, abs=0.02)
    scaled = ({k: 7 * f for k, f in each.items()} for each in (a, b))
    torch.testing.assert_close(metrics.feature_distance(*scaled), metrics.feature_distance(a, b))


def test_perceptual_is_the_loop():
    a, b = features(0, (3, 4, 5), (6, 2, 3)), features(1, (3, 4, 5), (6, 2, 3))
    for n in range(2):
        layers = []
        for layer in a:
            x, y = a[layer][n].numpy().reshape(len(a[layer][n]), -1).T, b[layer][n].numpy()
            cells = [
                (u / np.linalg.norm(u) - v / np.linalg.norm(v)) for u, v in zip(x, y.reshape(len(y), -1).T, strict=True)
            ]
            layers.append(np.mean([d @ d for d in cells]))
        assert float(metrics.perceptual(a, b)[n]) == pytest.approx(np.mean(layers), rel=1e-12)


def test_perceptual_on_lite_orders_what_is_done_to_a_picture():
    photo = torch.zeros(1, 3, 64, 64)
    photo[..., 16:48, 24:40], photo[:, 0, 40:] = 0.9, 0.6
    noise = torch.randn(photo.shape, generator=torch.Generator().manual_seed(0))
    network, layers = lite.build(), ("relu1_1", "relu2_1", "relu3_1")
    own = network(photo, layers)
    little, much, other = (
        float(metrics.perceptual(own, network(changed.clamp(0, 1), layers)))
        for changed in (photo + 0.02 * noise, photo + 0.1 * noise, 0.5 + 0.3 * noise)
    )
    assert 0 < little < much < other < 2


@pytest.mark.parametrize(("name", "equal"), PIXELS.items())
def test_equal_pictures_each_alone_and_either_way_round(name, equal):
    a, b, *_ = pair()
    measure = getattr(metrics, name)
    assert float(measure(a, a)) == pytest.approx(equal, abs=1e-12)
    assert float(measure(a, b)) == pytest.approx(float(measure(b, a)), abs=1e-12)
    assert float(measure(a, b)) != pytest.approx(equal, abs=1e-3)
    both = measure(torch.cat([a, a]), torch.cat([b, a]))
    assert both.shape == (2,) and float(both[0]) == pytest.approx(float(measure(a, b)), abs=1e-12)


@pytest.mark.parametrize("name", ["feature_distance", "perceptual"])
def test_equal_features_and_either_way_round(name):
    a, b, measure = features(0, (3, 4, 5)), features(1, (3, 4, 5)), getattr(metrics, name)
    assert float(measure(a, a).abs().max()) == 0
    torch.testing.assert_close(measure(a, b), measure(b, a))
    flat = {"l0": torch.ones(1, 3, 4, 5)}
    assert float(measure(flat, flat)) == 0


def test_what_cannot_be_compared_is_said():
    a, small = torch.rand(1, 3, 20, 20), torch.rand(1, 3, 8, 20)
    with pytest.raises(ValueError, match="resize one"):
        metrics.ssim(a, small)
    with pytest.raises(ValueError, match="20 x 8 px; SSIM needs 11 px a side"):
        metrics.ssim(small, small)
    with pytest.raises(ValueError, match="wanted the same layers"):
        metrics.perceptual(features(0, (3, 4, 5)), {})
    with pytest.raises(ValueError, match="at l0; wanted pictures of one size"):
        metrics.feature_distance(features(0, (3, 4, 5)), features(0, (3, 4, 4)))


def test_the_example_runs():
    failed, attempted = doctest.testmod(metrics)
    assert not failed and attempted
