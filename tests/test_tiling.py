"""Pictures seen in tiles are the same function of their pixels: values, gradients, balance, runs."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import loss_cases
import pytest
import torch
from conftest import tiny

from gatys_lab import catalog, memory, stylize, tiling
from gatys_lab.checkpoint import Checkpoint
from gatys_lab.engine import optimize
from gatys_lab.errors import UnknownName
from gatys_lab.images import read
from gatys_lab.job import prepare
from gatys_lab.masks import Kept, at_layers
from gatys_lab.networks import lite
from gatys_lab.objective import Region, balanced, content, smoothness, steadiness, style
from gatys_lab.optimizers import lbfgs
from gatys_lab.texture import prepare_texture
from gatys_lab.tiling import Looked, Tiled, by_means, margin_px

LAYERS = ("relu1_1", "relu2_1", "relu3_1")
CPU = torch.device("cpu")


class Own:
    """A user's loss, which knows nothing of means."""

    def fit(self, style, content, weights=None):
        return style.amax((2, 3))

    def __call__(self, features, target, weights=None):
        return (features.mean((2, 3)) - target).square().mean()


CASES = {**loss_cases.SMOOTH, "a user's own": (Own(), {})}


def pictures(dtype):
    """A photo and a painting of odd sizes, unlike each other."""
    photo, painting = torch.rand(1, 3, 37, 45, dtype=dtype), torch.rand(1, 3, 29, 41, dtype=dtype) ** 3
    return photo, painting * torch.tensor([1.0, 0.5, 0.2], dtype=dtype).view(1, 3, 1, 1)


def problems(network, wanted, dtype, masked=False, balance=True):
    """The same objective twice, fitted and balanced: of the whole picture, and of tiles of 24 px."""
    (photo, painting), out = pictures(dtype), []
    mask = torch.linspace(-1, 2, 45, dtype=torch.float32).clamp(0, 1).expand(1, 1, 37, 45)
    for tiled in (False, True):
        eyes = Tiled(network, 24) if tiled else network
        features, look = (Looked(eyes, image, wanted.layers) for image in (photo, painting))
        what = torch.rand(1, 1, 29, 41, generator=torch.Generator().manual_seed(3)) + 0.5
        region = Region(at_layers(mask, mask, features, network), at_layers(what, what, look, network))
        fitted = wanted.fit(features, look, regions=[region] if masked else ())
        if tiled:
            fitted, eyes = by_means(fitted, eyes)
        fitted = balanced(fitted, eyes, photo) if balance else fitted
        out.append((Kept(eyes, photo, mask.to(photo)) if masked else eyes, fitted))
    return photo, out


def gradient(network, objective, image):
    leaf = image.clone().requires_grad_()
    loss = objective(network(leaf, objective.layers))
    return loss, torch.autograd.grad(loss.total, leaf)[0]


def off(a, b):
    """How far b is from a, relative to a."""
    return float((a - b).norm() / a.norm())


@pytest.mark.parametrize("masked", [False, True], ids=["", "masked"])
@pytest.mark.parametrize("label", CASES)
def test_the_gradient_is_that_of_the_whole_picture(network, label, masked):
    name, options = CASES[label]
    if masked and label == "a user's own":
        pytest.skip("it takes no masks")
    layers = LAYERS[1:] if label in ("swap", "mrf") else LAYERS
    for dtype, most in ((torch.float64, 1e-11), (torch.float32, 1e-5)):
        wanted = content("relu2_2") + 5 * style(name, layers, **options) + 0.1 * smoothness()
        wanted += 0.1 * steadiness(torch.rand(1, 3, 37, 45), torch.rand(1, 1, 37, 45))
        photo, ((whole, objective), (tiled, by_tiles)) = problems(network.to(dtype), wanted, dtype, masked)
        assert by_tiles.weights == pytest.approx(objective.weights, rel=10 * most)
        x = torch.rand_like(photo)
        (loss, g), (same, tile_by_tile) = gradient(whole, objective, x), gradient(tiled, by_tiles, x)
        assert same.total.dtype == dtype and list(same.parts) == list(loss.parts)
        assert float(same.total.detach()) == pytest.approx(float(loss.total.detach()), rel=most)
        assert off(g, tile_by_tile) < most


@pytest.mark.parametrize(
    "change", [{}, {"padding": "zeros"}, {"ceil_mode": True}, {"pooling": "avg"}, {"pooling": "l2"}], ids=str
)
def test_maps_are_the_same_at_every_size(network, change):
    for option, value in change.items():
        setattr(network, option, value)
    for height, width, tile_px in ((16, 17, 32), (33, 18, 4), (35, 19, 9), (23, 34, 12), (36, 31, 20)):
        image, layers = torch.rand(1, 3, height, width, dtype=torch.float64), (*LAYERS, "conv2_2", "pool1", "input")
        whole, tiled = network(image, layers), Tiled(network, tile_px)(image, layers)
        assert list(tiled) == ["input", *layers[:-1]] and tiled["input"] is image
        for layer in layers:
            torch.testing.assert_close(tiled[layer], whole[layer], atol=1e-12, rtol=1e-12)


def test_every_cell_is_one_tiles_own_and_a_smaller_margin_would_not_do(network, monkeypatch):
    image = torch.rand(1, 3, 37, 45, dtype=torch.float64)
    exact = network(image, ("relu3_1",))["relu3_1"]
    tiled = Tiled(network, 12)
    places = torch.zeros(exact.shape[2:])
    for tile in tiled.tiles(image, ("relu3_1",)):
        ((_, own, window),) = tiled.own(tiling._pixels(image, tile), tile, ["relu3_1"])
        places[window] += 1
        assert own.shape[2:] == places[window].shape
    assert (places == 1).all() and len(tiled.tiles(image, ("relu3_1",))) > 6
    assert margin_px(network, ("relu3_1",)) % 4 == 0
    monkeypatch.setattr(tiling, "margin_px", lambda network, layers: margin_px(network, layers) - 4)
    assert not torch.allclose(tiled(image, ("relu3_1",))["relu3_1"], exact)


def test_the_margins_of_vgg19(monkeypatch):
    assert margin_px(lite.build(), ("relu1_1", "relu5_1", "relu4_2")) == 80


@pytest.mark.parametrize("name", ["gram", "bn", "mmd-linear", "mmd-poly", "gaussian-wasserstein"])
@pytest.mark.parametrize("masked", [False, True], ids=["", "masked"])
def test_a_style_is_fitted_by_its_means(network, name, masked):
    """Without a map of it, to the target that the whole map has."""
    (_, painting), built = pictures(torch.float64), catalog.load("losses", name)
    what = {"relu1_1": torch.rand(1, 1, 29, 41) + 0.5} if masked else None
    whole = network(painting, ("relu1_1",))
    looks = Looked(Tiled(network, 12), painting, ("relu1_1",))
    with loss_cases.Largest() as largest:
        (by_means,) = style(built, "relu1_1").fit({}, looks, regions=[Region(None, what)]).losses
    (at_once,) = style(built, "relu1_1").fit({}, whole, regions=[Region(None, what)]).losses
    assert largest.bytes < whole["relu1_1"].nbytes
    other = torch.rand_like(whole["relu1_1"])
    torch.testing.assert_close(by_means(other), at_once(other), rtol=1e-9, atol=0)


def test_where_a_loss_is_a_function_of_means_no_map_is_held(network):
    wanted = content("relu3_1") + style("gram", LAYERS)
    photo, (_, (tiled, objective)) = problems(network, wanted, torch.float64, balance=False)
    with loss_cases.Largest() as largest:
        gradient(tiled, objective, photo)
    assert 0 < largest.bytes < 6 * photo[0, 0].nbytes  # of relu1_1
    assert all(read.startswith("means") for read in objective.reads)
    _, (_, (tiled, objective)) = problems(network, style("histogram", LAYERS), torch.float64, balance=False)
    with loss_cases.Largest() as largest:
        gradient(tiled, objective, photo)
    assert largest.bytes >= 6 * photo[0, 0].nbytes and objective.reads == LAYERS


@pytest.mark.parametrize(("dtype", "evaluations", "most"), [(torch.float32, 5, 2.0), (torch.float64, 50, 2.0)])
def test_a_run_ends_in_the_same_picture(network, dtype, evaluations, most):
    wanted = content("relu2_1") + 5 * style("gram", LAYERS) + 0.3 * smoothness()
    photo, runs = problems(network.to(dtype), wanted, dtype)
    first, second = (
        optimize(photo, eyes, objective, lbfgs.build(), evaluations=evaluations) for eyes, objective in runs
    )
    assert float((first.image - photo).abs().max()) > 0.05
    assert float((first.image - second.image).abs().max()) * 255 < most
    assert second.loss == pytest.approx(first.loss, rel=1e-3)


# In a job

QUICK = {"size_px": 90, "evaluations": 5, "smallest_px": 48, "threads": 1, "content_layers": {"relu2_1": 1.0}}
QUICK |= {"style_layers": dict.fromkeys(LAYERS[:2], 1.0)}  # narrow margins


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_stylize_in_tiles(photo, painting, precision):
    whole, tiled = (stylize(photo, painting, tile=tile, precision=precision, **QUICK) for tile in ("off", 48))
    assert tiled.loss == pytest.approx(whole.loss, rel=1e-3 if precision == "fp32" else 0.05)
    if precision == "fp32":
        assert float((tiled.pixels - whole.pixels).abs().max()) * 255 < 2
        assert not torch.equal(tiled.pixels, whole.pixels)  # rounding: it was another way
    assert "in tiles of 48 px" in prepare(photo, painting, tile="48", **QUICK).describe()


def test_bad_tiles_are_refused_in_one_line(photo, painting):
    with pytest.raises(UnknownName, match="no tile 'large'; there are auto, off, or the side of a square in pixels"):
        prepare(photo, painting, tile="large")
    with pytest.raises(UnknownName, match=r"no tile '1e3'"):
        prepare(photo, painting, tile="1e3")
    with pytest.raises(ValueError, match="tiles of 8 px; wanted at least 32"):
        prepare(photo, painting, tile=8)
    with pytest.raises(ValueError, match="joins every edge to the opposite one; leave them out"):
        prepare(photo, painting, tile=64, padding="circular")
    with pytest.raises(ValueError, match="joins every edge"):
        prepare_texture(painting, 64, 64, tileable=True, tile=32)


def test_a_network_that_does_not_tell_its_strides_is_seen_at_once(monkeypatch):
    blind = SimpleNamespace(name="blind", layers=("a",))
    monkeypatch.setattr(memory, "available", lambda device: 1)
    assert tiling.chosen("auto", blind, ("a",), (64, 64), CPU) is None
    with pytest.raises(ValueError, match=r"blind has no stride_px\(\)"):
        tiling.chosen("64", blind, ("a",), (64, 64), CPU)


def test_auto_takes_tiles_where_memory_is_short(monkeypatch):
    network, layers = lite.build(), ("relu4_2", "relu1_1", "relu5_1", "input")

    def chosen(gigabytes, size_px):
        monkeypatch.setattr(memory, "available", lambda device: int(gigabytes * 1e9))
        return tiling.chosen("auto", network, layers, (size_px, size_px), CPU)

    assert [chosen(16, size_px) for size_px in (512, 1024, 2048)] == [None, None, None]
    assert [chosen(64, size_px) for size_px in (2048, 4096)] == [None, None]
    assert chosen(3, 1024) is None and chosen(1, 1024) == 256
    sides = [chosen(gigabytes, 4096) for gigabytes in (0.1, 6, 8, 16, 28)]
    assert sides == sorted(sides) and len(set(sides)) > 2
    assert all(side % tiling.SMALL == 0 and tiling.SMALL <= side <= tiling.LARGE for side in sides)
    monkeypatch.setattr(memory, "available", lambda device: None)  # not known
    assert tiling.chosen("auto", network, layers, (9999, 9999), CPU) is None


def test_what_a_walk_keeps_is_counted_without_the_weights(network):
    network = network.float()
    few, all_of_it = memory.per_px(network, ("relu1_1",)), memory.per_px(network, LAYERS)
    assert 6 * 4 < few < all_of_it < 1000
    assert memory.per_px(network.bfloat16(), LAYERS) < all_of_it


def test_free_memory_is_below_every_limit(monkeypatch, tmp_path):
    free = memory.available(CPU)
    assert free is None or free > 0
    limit, used = tmp_path / "max", tmp_path / "current"
    limit.write_text("5000"), used.write_text("2000")
    monkeypatch.setattr(memory, "LIMITS", ((limit, used),))
    assert memory.available(CPU) == 3000
    limit.write_text("max")
    assert memory.available(CPU) != 3000
    if memory.resource is not None:
        monkeypatch.setattr(memory.resource, "getrlimit", lambda which: (7000, 7000))
        assert memory.available(CPU) <= 7000


def test_what_was_chosen_when_it_began_is_kept(photo, painting, tmp_path, monkeypatch):
    def killed(step):
        if step.evaluation == 4 and step.size_px == 90:
            raise RuntimeError("killed")

    by_memory = tiling.chosen
    monkeypatch.setattr(tiling, "chosen", lambda asked, *rest: by_memory("48" if asked == "auto" else asked, *rest))
    options = QUICK | {"precision": "fp32"}
    whole, kept = stylize(photo, painting, **options), Checkpoint(tmp_path / "run", 0, resume=True)
    with pytest.raises(RuntimeError):
        stylize(photo, painting, checkpoint=kept, callbacks=[killed], **options)
    monkeypatch.setattr(tiling, "chosen", by_memory)
    assert not torch.equal(stylize(photo, painting, **options).pixels, whole.pixels)
    assert torch.equal(stylize(photo, painting, checkpoint=kept, **options).pixels, whole.pixels)
    with pytest.raises(ValueError, match="other tile"):
        stylize(photo, painting, checkpoint=kept, tile="off", **options)


def test_a_job_may_be_copied_with_other_tiles(photo, painting):
    job = prepare(photo, painting, precision="fp32", **QUICK)
    assert job.tile_px is None and prepare(photo, painting, tile="off").tile_px is None
    assert replace(job, tile_px=64).run().loss == pytest.approx(job.run().loss, rel=1e-3)


# In several processes

TWO = """
import sys
sys.path[:0] = sys.argv[2:]
import torch
import test_tiling as t
from gatys_lab import processes
processes.join()
torch.save(t.several_gradients(), f"{sys.argv[1]}/{int(processes.leads())}.pt")
processes.leave()
"""
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone"]


def several_gradients():
    """Losses and gradients (1, 3, 37, 45) of what is seen in tiles: by maps, by means, in 64 and in 16 bits."""
    torch.manual_seed(0)
    network, found = tiny(), {}
    for name in ("histogram", "gram", "style-swap"):
        wanted = content("relu2_2") + 5 * style(name, LAYERS[1:]) + 0.1 * smoothness()
        photo, (_, (eyes, objective)) = problems(network, wanted, torch.float64)
        loss, found[name] = gradient(eyes, objective, torch.rand_like(photo))
        found[f"{name} loss"] = loss.total.detach()
    few = Tiled(network.bfloat16(), 400)  # one tile, and one process has nothing to do
    found["map"] = few(photo.float(), ("relu2_1",))["relu2_1"]
    return found


def test_two_processes_find_the_gradient_of_one(tmp_path):
    (tmp_path / "two.py").write_text(TWO)
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    subprocess.run(
        [*TORCHRUN, str(tmp_path / "two.py"), str(tmp_path), *paths], check=True, capture_output=True, timeout=300
    )
    alone, first, second = several_gradients(), torch.load(tmp_path / "1.pt"), torch.load(tmp_path / "0.pt")
    for name, found in alone.items():
        assert torch.equal(first[name], second[name])
        torch.testing.assert_close(first[name], found, atol=0, rtol=1e-9)


def test_two_processes_paint_the_picture_of_one_and_one_of_them_says_so(photo, painting, tmp_path):
    options = ["--size", "90", "--smallest", "48", "--evaluations", "5", "--precision", "fp32", "--tile", "48"]
    options += ["--style-layers", "relu1_1,relu2_1", "--content-layers", "relu2_1", "--device", "cpu"]
    kept = ["--checkpoint", str(tmp_path / "kept"), "--frames", str(tmp_path / "frames")]
    command = ["-m", "gatys_lab", "stylize", str(photo), str(painting)]
    out = tmp_path / "out.png"
    done = subprocess.run(
        [*TORCHRUN, *command, *options, *kept, "-o", str(out)],
        cwd=Path(__file__).parents[1], check=True, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.stderr.count(f"{out}  (") == done.stderr.count("in tiles of 48 px") == 1
    job = prepare(photo, painting, tile=48, precision="fp32", device="cpu", **QUICK)
    assert float((read(out).image - job.run().pixels).abs().max()) * 255 < 1.1  # rounded to 8 bits
    assert not (tmp_path / "kept").exists() and any((tmp_path / "frames").iterdir())
