"""Attention against the sums of the paper, position by position, in 64 bits."""

import math

import pytest
import torch

from gatys_lab.models import _attention
from gatys_lab.models._moments import mean_std, normalise


def weight(form, q, k):
    dot = float(q @ k)
    return math.exp(dot) if form == "softmax" else 1 + dot / float(q.norm() * k.norm())


def oracle(form, query, key, value):
    means, stds = [], []
    for q in query.T:
        w = torch.tensor([weight(form, q, k) for k in key.T], dtype=torch.float64)
        w = w / w.sum()
        mean = value @ w
        means.append(mean)
        stds.append(((value - mean[:, None]).square() @ w).sqrt())
    return torch.stack(means, 1), torch.stack(stds, 1)


@pytest.fixture
def sets():
    return tuple(torch.randn(2, *shape, dtype=torch.float64) for shape in ((5, 13), (5, 17), (4, 17)))


@pytest.mark.parametrize("form", _attention.FORMS)
@pytest.mark.parametrize("tile", [1, 1000, 1 << 20])
def test_it_is_the_weighted_mean_and_deviation(form, tile, sets, monkeypatch):
    monkeypatch.setattr(_attention, "TILE_BYTES", tile)
    mean, std = _attention.FORMS[form](*(x.float() for x in sets))
    for i in range(2):
        wanted = oracle(form, *(x[i] for x in sets))
        torch.testing.assert_close(mean[i].double(), wanted[0], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(std[i].double(), wanted[1], atol=1e-4, rtol=1e-3)


def test_uniform_attention_over_the_values_themselves_is_adain(sets):
    _, key, value = sets
    mean, std = _attention.softmax(torch.zeros(2, 5, 6), key.float(), value.float())
    wanted_mean, wanted_std = mean_std(value[..., None].float())
    torch.testing.assert_close(mean, wanted_mean[..., 0].expand_as(mean), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(std, wanted_std[..., 0].expand_as(std), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("form", _attention.FORMS)
def test_one_style_position_is_its_own_mean(form):
    query, key, value = torch.randn(1, 5, 9), torch.randn(1, 5, 1), torch.randn(1, 4, 1)
    mean, std = _attention.FORMS[form](query, key, value)
    torch.testing.assert_close(mean, value.expand(1, 4, 9))
    assert std.max() < 2e-3


@pytest.mark.parametrize("form", _attention.FORMS)
def test_gradients_are_finite_where_a_deviation_is_zero(form):
    query, key = (torch.randn(1, 5, 9, requires_grad=True) for _ in range(2))
    value = torch.ones(1, 4, 9, requires_grad=True)
    mean, std = _attention.FORMS[form](query, key, value)
    (mean.sum() + std.sum()).backward()
    assert all(x.grad.isfinite().all() for x in (query, key, value))


def test_moments_of_a_region_are_those_of_its_positions():
    f, mask = torch.randn(2, 3, 6, 8), torch.zeros(1, 1, 6, 8)
    mask[..., 2:5, 1:4] = 1
    for unbiased in (False, True):
        mean, std = mean_std(f, mask.expand(2, 1, 6, 8), unbiased=unbiased)
        wanted = mean_std(f[..., 2:5, 1:4], unbiased=unbiased)
        torch.testing.assert_close((mean, std), wanted, atol=1e-5, rtol=1e-5)
    empty = mean_std(f, torch.zeros(2, 1, 6, 8))
    torch.testing.assert_close(empty, mean_std(f), atol=1e-5, rtol=1e-5)
    x = normalise(f)
    torch.testing.assert_close(x.mean((2, 3)), torch.zeros(2, 3), atol=1e-6, rtol=0)


@pytest.mark.parametrize("form", _attention.FORMS)
def test_half_precision_queries_lose_no_more_than_their_own_rounding(form):
    """Large logits: products of 16 bits would be off by whole units."""
    query, key, value = (torch.randn(1, n, p).bfloat16() for n, p in ((256, 20), (256, 30), (4, 30)))
    exact = _attention.FORMS[form](*(x.double() for x in (query, key, value)))
    with torch.autocast("cpu", torch.bfloat16):
        found = _attention.FORMS[form](query, key, value)
    for a, b in zip(found, exact, strict=True):
        torch.testing.assert_close(a.double(), b.double(), atol=2e-3, rtol=1e-3)


def test_tiles_give_the_gradients_of_the_whole(monkeypatch):
    sets = [torch.randn(2, *shape, requires_grad=True) for shape in ((5, 13), (5, 17), (4, 17))]

    def gradients():
        mean, std = _attention.softmax(*sets)
        return torch.autograd.grad(mean.square().sum() + std.sum(), sets)

    whole = gradients()
    monkeypatch.setattr(_attention, "TILE_BYTES", 500)
    torch.testing.assert_close(gradients(), whole, atol=1e-5, rtol=1e-4)
