import pytest
import torch

from gatys_lab.cli._options import COLOURS as cli_colours
from gatys_lab.color import (
    AFTER,
    BEFORE,
    COLOURS,
    after,
    before,
    check_colour,
    keep_luma,
    match_histogram,
    match_linear,
)
from gatys_lab.errors import UnknownName

YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])


@pytest.fixture
def pair():
    generator = torch.Generator().manual_seed(0)
    mix = torch.tensor([[0.1, 0.05, 0.0], [0.02, 0.08, 0.01], [0.03, 0.0, 0.06]])
    image = 0.4 + 0.3 * (torch.rand(1, 3, 40, 30, generator=generator) - 0.5)
    reference = 0.5 + torch.einsum("ij,njhw->nihw", mix, torch.randn(1, 3, 25, 35, generator=generator))
    return image, reference.clamp(0.02, 0.98)


def colours(image):
    return image[0].flatten(1).double()


def test_linear_gives_mean_and_covariance(pair):
    image, reference = pair
    changed = match_linear(image, reference)
    for found, wanted in zip((changed,), (reference,), strict=True):
        torch.testing.assert_close(colours(found).mean(1), colours(wanted).mean(1), atol=2e-3, rtol=0)
        torch.testing.assert_close(torch.cov(colours(found)), torch.cov(colours(wanted)), atol=1e-3, rtol=0)


def test_linear_changes_nothing_where_the_colours_agree_already(pair):
    torch.testing.assert_close(match_linear(pair[0], pair[0]), pair[0], atol=1e-5, rtol=0)


def test_histogram_gives_every_channels_order_statistics(pair):
    image, reference = pair
    changed = match_histogram(image, reference)
    for q in (0.05, 0.3, 0.5, 0.9):
        found, wanted = (torch.quantile(x[0].flatten(1), q, dim=1) for x in (changed, reference))
        torch.testing.assert_close(found, wanted, atol=5e-3, rtol=0)
    torch.testing.assert_close(torch.corrcoef(colours(changed)), torch.corrcoef(colours(reference)), atol=5e-2, rtol=0)


def test_histogram_is_that_of_colours_and_not_of_channels_alone(pair):
    grey = torch.rand(1, 1, 40, 30).expand(1, 3, 40, 30)
    found = match_histogram(pair[0], grey)
    assert (found.amax(1) - found.amin(1)).mean() < 0.02
    corners = (torch.rand(1, 1, 30, 40) > 0.3).float()
    reference = torch.cat([corners, 1 - corners, corners * 0], 1)  # red and green, never both
    found = match_histogram(pair[0], reference)
    assert ((found[:, 0] - found[:, 1]).abs() > 0.5).float().mean() > 0.8


def test_histogram_keeps_equal_values_equal_and_a_picture_as_it_is(pair):
    flat = torch.full((1, 3, 8, 8), 0.25)
    assert match_histogram(flat, pair[1]).unique().numel() == 3
    spots = (torch.rand(1, 1, 61, 53) > 0.5) * pair[0][..., :1, :1]
    assert match_histogram(spots, pair[1])[0].flatten(1).unique(dim=1).shape[1] == 2
    torch.testing.assert_close(match_histogram(pair[1], pair[1]), pair[1], atol=2e-3, rtol=0)


def test_luma_is_the_results_and_chroma_the_contents(pair):
    content, result = pair[0], 0.3 + 0.2 * torch.rand(1, 3, 40, 30)
    mixed = keep_luma(result, content)
    found, of_result, of_content = (torch.einsum("ij,njhw->nihw", YIQ, x) for x in (mixed, result, content))
    torch.testing.assert_close(found[:, 0], of_result[:, 0], atol=1e-5, rtol=0)
    torch.testing.assert_close(found[:, 1:], of_content[:, 1:], atol=2e-3, rtol=0)


def test_grey_and_flat_pictures_are_no_trouble(pair):
    grey = torch.rand(1, 1, 20, 20).expand(1, 3, 20, 20)
    for match in (match_linear, match_histogram):
        for image, reference in ((grey, pair[1]), (pair[0], grey), (torch.zeros(1, 3, 4, 4), pair[1])):
            changed = match(image, reference)
            assert (
                changed.shape == image.shape and changed.isfinite().all() and 0 <= changed.min() <= changed.max() <= 1
            )


def test_chroma_is_luma_the_other_way_round(pair):
    content, result = pair[0], 0.3 + 0.2 * torch.rand(1, 3, 40, 30)
    torch.testing.assert_close(after("chroma", result, content), keep_luma(content, result))


def test_a_way_is_before_or_after_and_every_way_is_known(pair):
    image, reference = pair
    other = torch.rand_like(image)
    for colour in (None, *COLOURS):
        check_colour(colour)
        assert torch.equal(before(colour, image, reference), image) == (colour not in BEFORE)
        assert torch.equal(after(colour, image, other), image) == (colour not in AFTER)
    assert cli_colours == COLOURS
    with pytest.raises(UnknownName, match="no colour 'hue'; there are linear, histogram, luma, chroma"):
        check_colour("hue")
