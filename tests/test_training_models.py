"""Training of the feed-forward models: the objective is the engine's, runs resume exactly, data may be broken."""

import csv
import itertools
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from gatys_lab import catalog, cli
from gatys_lab.models import _files, adaattn, adain, inverse
from gatys_lab.models._base import Shares
from gatys_lab.models._files import save
from gatys_lab.networks import lite
from gatys_lab.objective import content, smoothness, style
from gatys_lab.training import _judge, feedforward, objective_of
from gatys_lab.training import adaattn as adaattn_recipe
from gatys_lab.training import adain as adain_recipe
from gatys_lab.training import inverse as inverse_recipe
from gatys_lab.training._fit import Lesson, Settings, Training
from gatys_lab.training._pictures import Crops, files_in
from gatys_lab.training.feedforward import Data

MODELS = {"adain": (adain, adain_recipe), "adaattn": (adaattn, adaattn_recipe), "inverse": (inverse, inverse_recipe)}
QUICK = Settings(steps=4, batch=2, size_px=48, every=2, rate=1e-3)


def a_recipe(name, **losses):
    torch.manual_seed(0)
    models, recipes = MODELS[name]
    return recipes.build(models.create(lite.build()), **losses)


def a_run(name, folder, **changes):
    crops = Crops(files_in(folder), QUICK.size_px)
    return Training(a_recipe(name), crops, crops, replace(QUICK, **changes))


def test_the_loss_of_a_batch_is_the_engines_loss_of_the_same_pictures():
    recipe = a_recipe("adain")
    model, contents, styles = recipe.model, torch.rand(3, 3, 48, 48), torch.rand(3, 3, 48, 48)
    total, parts = Lesson(recipe, "fp32")(contents, styles)
    layers, losses = ("relu1_1", "relu2_1", "relu3_1", "relu4_1"), []
    objective = content("relu4_1") + 10 * style("bn", layers)
    for c, s in zip(contents.split(1), styles.split(1), strict=True):
        seen, look = model.encoder(c, layers), model.encoder(s, layers)
        t = model.target(seen["relu4_1"], [model.style_of(s)], Shares([1.0], None))
        picture = model.decoder(t)
        losses.append(objective.fit({**seen, "relu4_1": t}, look)(model.encoder(picture, layers)).total)
    torch.testing.assert_close(total, torch.stack(losses).mean(), rtol=1e-5, atol=0)
    assert set(parts) == {"content", "bn"} and sum(parts.values()) == pytest.approx(float(total.detach()), rel=1e-5)


def test_shifted_pictures_are_judged_where_their_photographs_are_cut_too():
    """The loss is the engine's of the picture less some rows and columns, fitted to the photo less them."""
    torch.manual_seed(0)
    model = adain.create(lite.build(), norm="style")
    recipe = adain_recipe.build(model, tv_weight=2.0, shift_px=5)
    photo, painting = torch.rand(2, 1, 3, 64, 64)
    look = model.style_of(painting)
    with torch.no_grad():
        picture = model.decode(model.features(photo), [look], Shares([1.0], None), 1.0)
        features = model.encoder(painting, adain_recipe.STYLE_LAYERS)
        losses = {}
        for y, x in itertools.product(range(6), range(6)):
            cut = model.features(photo[..., y:, x:])["relu4_1"]
            t = {"relu4_1": model.target(cut, [look], Shares([1.0], None))}
            objective = content("relu4_1") + 10 * style("bn", adain_recipe.STYLE_LAYERS) + 2 * smoothness()
            seen = model.encoder(picture[..., y:, x:], objective.layers)
            losses[y, x] = float(objective.fit(t, features)(seen).total)
        found = [float(Lesson(recipe, "fp32")(photo, painting)[0]) for _ in range(8)]
    met = {min(losses, key=lambda key: abs(losses[key] - one)) for one in found}
    assert len(met) > 2 and all(min(abs(x - one) for x in losses.values()) < 1e-4 * one for one in found)


@pytest.mark.parametrize("shift_px", [-1, 16])
def test_a_shift_is_less_than_a_cell(shift_px):
    with pytest.raises(ValueError, match=f"a shift of {shift_px} px; wanted 0 to 15"):
        a_recipe("adain", shift_px=shift_px)


@pytest.mark.parametrize("name", MODELS)
def test_training_lowers_the_loss_and_leaves_the_encoder_alone(name, folder):
    run = a_run(name, folder, optimizer="muon", rate=3e-3)
    before = {k: v.clone() for k, v in run.recipe.model.encoder.state_dict().items()}
    batch = run.fetch(0)
    losses = [float(run.step(*batch)["total"]) for _ in range(25)]
    assert losses[-1] < 0.8 * losses[0]
    assert all(torch.equal(v, before[k]) for k, v in run.recipe.model.encoder.state_dict().items())


@pytest.mark.parametrize("name", MODELS)
def test_every_weight_of_the_model_learns(name, folder):
    run = a_run(name, folder)
    total, _ = run.lesson(*run.fetch(0))
    total.backward()
    for key, weight in run.recipe.model.named_parameters():
        assert key.startswith("encoder.") or (weight.grad is not None and weight.grad.abs().max() > 0), key


def test_the_pixels_of_what_is_no_swap_are_known_and_count_as_the_engine_counts_them():
    recipe = a_recipe("inverse", pixel_weight=20.0)
    contents, styles = torch.rand(2, 3, 48, 48), torch.rand(2, 3, 48, 48)
    with torch.no_grad():
        total, parts = Lesson(recipe, "fp32")(contents, styles)
        plain, _ = Lesson(a_recipe("inverse"), "fp32")(contents, styles)
        painted, both = recipe.paint(contents, styles)[0], torch.cat([contents, styles])
    assert len(painted) == 8  # two photographs, two paintings, four swaps
    wanted = 20 * (painted[:4] - both).square().mean()
    torch.testing.assert_close(parts["pixels"], wanted)
    torch.testing.assert_close(total, plain + wanted)


@pytest.mark.parametrize("depth", [1, 4])
def test_the_depth_of_the_inverse_decoder_is_kept_in_its_file(tmp_path, depth):
    made = inverse.create(lite.build(), depth=depth)
    save(made, tmp_path / "own.safetensors", {"depth": depth})
    model = catalog.load("models", "inverse", weights=tmp_path / "own.safetensors")
    assert sum(1 for name, _ in model.decoder.named_parameters() if name.startswith("conv3_")) == 2 * depth
    picture = torch.rand(1, 3, 41, 37)
    with pytest.raises(ValueError, match="a decoder of depth 5; wanted 1 to 4"):
        inverse.create(lite.build(), depth=5)
    assert model(picture, model.style_of(picture)).shape == picture.shape


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_an_interrupted_run_resumed_is_the_uninterrupted_one(folder, tmp_path, optimizer, monkeypatch):
    settings, how = replace(QUICK, optimizer=optimizer), {"losses": {"shift_px": 7}, "options": {"norm": "style"}}
    feedforward.train("adain", tmp_path / "whole.safetensors", Data(folder, folder, (2, 2)), settings=settings, **how)
    original = Training.step

    class Killed(Exception):
        pass

    def step(self, *batch):
        if self.done == 3:
            raise Killed
        return original(self, *batch)

    monkeypatch.setattr(Training, "step", step)
    arguments = ("adain", tmp_path / "half.safetensors", Data(folder, folder, (2, 2)))
    with pytest.raises(Killed):
        feedforward.train(*arguments, settings=settings, **how)
    monkeypatch.setattr(Training, "step", original)
    feedforward.train(*arguments, settings=settings, **how)
    whole, half = (load_file(tmp_path / f"{name}.safetensors") for name in ("whole", "half"))
    assert all(torch.equal(whole[k], half[k]) for k in whole)


def test_a_run_may_start_from_a_trained_model_of_another_form(folder, tmp_path):
    data, first, second = Data(folder, folder, (2, 2)), tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    feedforward.train("adaattn", first, data, settings=replace(QUICK, steps=1, rate=0.1))
    video = {"options": {"form": "cosine"}, "losses": {"similarity_weight": 100.0}}
    still = replace(QUICK, steps=1, rate=1e-12)  # a step that changes nothing: what is left is what it began with
    feedforward.train("adaattn", second, data, settings=still, start=first, **video)
    begun, left = load_file(first), load_file(second)
    assert all(torch.equal(begun[k], left[k]) for k in begun)
    assert catalog.load("models", "adaattn", weights=second).form == "cosine"
    assert "start | first.safetensors, " in second.with_suffix(".md").read_text()
    with pytest.raises(ValueError, match="made with other start"):
        feedforward.train("adaattn", second, data, settings=still, **video)


def test_a_start_that_does_not_fit_is_refused(folder, tmp_path):
    data = Data(folder, folder, (2, 2))
    feedforward.train("adain", tmp_path / "adain.safetensors", data, settings=replace(QUICK, steps=1))
    with pytest.raises(ValueError, match="holds adain, wanted weights of inverse"):
        feedforward.train(
            "inverse", tmp_path / "x.safetensors", data, settings=QUICK, start=tmp_path / "adain.safetensors"
        )
    with pytest.raises(ValueError, match="does not fit"):
        sanet = {"options": {"form": "sanet"}, "start": _files.weights("adaattn", None)}
        feedforward.train("adaattn", tmp_path / "x.safetensors", data, settings=QUICK, **sanet)


def test_what_is_left_beside_the_weights(folder, tmp_path):
    out = tmp_path / "own.safetensors"
    corrupt = feedforward.train("adain", out, Data(folder, folder, (0, 0)), settings=replace(QUICK, steps=40))
    assert [p.name for p in corrupt] == ["broken.jpg"]
    rows = list(csv.reader((tmp_path / "own.csv").open()))
    assert rows[0] == ["step", "seconds", "total", "content", "bn"] and [r[0] for r in rows[1:]] == ["20", "40"]
    card = (tmp_path / "own.md").read_text()
    assert "model | adain" in card and "fingerprint" in card and "steps=40" in card
    assert (tmp_path / "own.png").is_file()
    model = catalog.load("models", "adain", weights=out)
    assert model(torch.rand(1, 3, 40, 40), model.style_of(torch.rand(1, 3, 40, 40))).shape == (1, 3, 40, 40)


def test_a_full_disk_leaves_the_checkpoint_before(folder, tmp_path, monkeypatch):
    run = ("adain", tmp_path / "own.safetensors", Data(folder, folder, (2, 2)))
    feedforward.train(*run, settings=QUICK)
    before = (tmp_path / "own.checkpoint").read_bytes()
    original, full = Path.replace, []

    def replace_(self, target):
        if Path(target).suffix == ".checkpoint":
            full.append(target)
            raise OSError(28, "No space left on device")
        return original(self, target)

    monkeypatch.setattr(Path, "replace", replace_)
    with pytest.raises(OSError, match="No space"):
        feedforward.train(*run, settings=replace(QUICK, steps=6))
    assert full and (tmp_path / "own.checkpoint").read_bytes() == before
    assert not [p for p in tmp_path.iterdir() if p.suffix == ".part"]


def test_what_a_run_depends_on_may_not_change_under_it(folder, tmp_path):
    out, data = tmp_path / "own.safetensors", Data(folder, folder, (2, 2))
    feedforward.train("adain", out, data, settings=QUICK)
    for changes, message in (
        ({"losses": {"style_weight": 3.0}}, "other options"),
        ({"options": {"norm": "instance"}}, "other options"),
        ({"settings": replace(QUICK, seed=4)}, "other seed"),
        ({"data": Data(folder, folder, (3, 2))}, "other data"),
        ({"name": "inverse"}, "other model"),
    ):
        arguments = {"name": "adain", "out": out, "data": data, "settings": QUICK, **changes}
        with pytest.raises(ValueError, match=message):
            feedforward.train(**arguments)
    feedforward.train("adain", out, data, settings=replace(QUICK, steps=6, every=3))


def test_a_finished_run_gives_its_weights_again_and_keeps_its_card(folder, tmp_path):
    out, data = tmp_path / "own.safetensors", Data(folder, folder, (2, 2))
    feedforward.train("adain", out, data, settings=QUICK)
    weights, card = out.read_bytes(), (tmp_path / "own.md").read_text()
    out.unlink()
    feedforward.train("adain", out, data, settings=QUICK)
    assert out.read_bytes() == weights and (tmp_path / "own.md").read_text() == card


def test_a_run_without_a_finite_gradient_ends(folder, monkeypatch):
    monkeypatch.setattr("gatys_lab.training._fit.HOPELESS", 3)
    run = a_run("adain", folder)
    contents, styles = run.fetch(0)
    run.step(contents * float("nan"), styles)
    assert run.step(contents, styles)["total"].isfinite()  # one is forgiven
    with pytest.raises(ValueError, match="3 steps without a finite gradient"):
        for _ in range(3):
            run.step(contents * float("nan"), styles)


def test_where_nothing_could_be_written_nothing_is_begun(folder, tmp_path):
    for out, message in (("own.png", "no .safetensors file"), ("no/own.safetensors", "no folder")):
        with pytest.raises((ValueError, OSError), match=message):
            feedforward.train("adain", tmp_path / out, Data(folder, folder, (2, 2)), settings=QUICK)


def test_the_rate_falls_as_it_says(folder):
    run = a_run("adain", folder, rate=1e-2, decay=0.5)
    run.done = 2
    assert run.rate() == pytest.approx(1e-2 / 2)
    straight = a_run("adain", folder, rate=1e-2, falling=True, steps=1000)
    straight.done = 500
    assert straight.rate() == pytest.approx(5e-3)


def test_settings_that_cannot_be_are_refused(folder):
    for changes, message in (
        ({"size_px": 50}, "crops of 50 px; wanted a multiple of 16"),
        ({"optimizer": "sgd"}, "no optimiser 'sgd'"),
    ):
        with pytest.raises(ValueError, match=message):
            a_run("adain", folder, **changes)


@pytest.fixture
def own(tmp_path):
    """Weights of each model, untrained."""
    for name, (models, _) in MODELS.items():
        torch.manual_seed(0)
        save(models.create(lite.build()), tmp_path / f"{name}.safetensors", {})
    return tmp_path


def test_the_figures_of_models(own, monkeypatch):
    monkeypatch.setattr(_judge, "EVALUATIONS", 8)
    monkeypatch.setattr(_judge, "ADAM_STEPS", 8)
    pairs = [tuple(torch.rand(2, 1, 3, 64, 80, generator=_seeded()))]
    found = _judge.judge(own / "adain.safetensors", pairs)
    assert found["engine style"] < found["photo style"]
    model = adain.build(own / "adain.safetensors")
    layers, (photo, painting) = adain_recipe.STYLE_LAYERS, pairs[0]
    look, picture = (model.encoder(x, layers) for x in (painting, model(photo, model.style_of(painting))))
    wanted = float((10 * style("bn", layers)).fit(look, look)(picture).total)
    assert found["model style"] == pytest.approx(wanted, rel=1e-4)
    found = _judge.judge(own / "inverse.safetensors", pairs)
    assert 0 < found["reconstruction error"] < 1 and found["engine swapped"] < found["model swapped"]
    found = _judge.judge(own / "adaattn.safetensors", pairs, own / "adain.safetensors")
    assert set(found) == {"adaattn local", "adain local", "model global", "photo global"}
    assert min(found.values()) > 0


@pytest.mark.parametrize("name", MODELS)
def test_the_objective_of_a_model_is_what_a_step_of_its_training_minimises(name):
    recipe = a_recipe(name, swaps=False) if name == "inverse" else a_recipe(name)
    photo, painting = torch.rand(2, 1, 3, 64, 48, generator=_seeded())
    objective = objective_of(recipe.model, photo, painting)
    picture, seen, look = recipe.paint(photo, painting)
    if name == "inverse":  # in training, of all swaps of a batch; here of the one
        style = recipe.model.style_of(painting)
        seen = {"relu3_1": recipe.model.swapped(seen["relu3_1"][:1], style)}
        picture = recipe.model.decoder(seen["relu3_1"])
    found = recipe.model.encoder(picture, tuple(dict.fromkeys((*recipe.layers, *objective.layers))))
    torch.testing.assert_close(objective(found).total, recipe.loss(found, seen, look).total, rtol=1e-4, atol=1e-5)


def test_the_command_that_measures_a_model(own, folder, capsys, monkeypatch):
    monkeypatch.setattr(_judge, "EVALUATIONS", 3)
    (folder / "broken.jpg").unlink()
    data = ["--photos", folder, "--paintings", folder, "--hold-out-photos", "2", "--hold-out-paintings", "2"]
    arguments = ["train", "measure", own / "adain.safetensors", *data, "--pairs", "2", "--size", "64"]
    with pytest.raises(SystemExit) as done:
        cli.main(list(map(str, arguments)))
    assert done.value.code == 0 and "model style" in json.loads(capsys.readouterr().out)


def test_the_image_similarity_loss_is_its_formula(monkeypatch):
    monkeypatch.setattr(adaattn_recipe, "ROWS", 5)
    frames = [torch.randn(1, 4, 3, 4).double() for _ in range(4)]
    wanted = 0.0
    distances = []
    for a, b in (frames[:2], frames[2:]):
        x, y = (f[0].flatten(1).T for f in (a, b))
        d = torch.tensor([[1 - float(p @ q / (p.norm() * q.norm())) for q in y] for p in x], dtype=torch.float64)
        distances.append(d / d.sum(0, keepdim=True))
    wanted = (distances[0] - distances[1]).abs().mean()
    found = adaattn_recipe.image_similarity((frames[0], frames[1]), (frames[2], frames[3]))
    torch.testing.assert_close(found.double(), wanted, rtol=1e-4, atol=0)
    same = adaattn_recipe.image_similarity((frames[0], frames[1]), (frames[0], frames[1]))
    assert float(same) == 0


def test_with_a_similarity_weight_frames_are_painted_and_compared():
    recipe, plain = a_recipe("adaattn", similarity_weight=100.0), a_recipe("adaattn")
    contents, styles = torch.rand(2, 2, 3, 64, 48, generator=_seeded())
    total, parts = Lesson(recipe, "fp32")(contents, styles)
    assert set(parts) == {"content", "bn", "similarity"}
    assert float(total.detach()) == pytest.approx(sum(map(float, parts.values())), rel=1e-5)
    both = [torch.cat(pair) for pair in ((contents, adaattn_recipe.moved(contents)), (styles, styles))]
    rest, _ = Lesson(plain, "fp32")(*both)
    assert float(total.detach() - parts["similarity"]) == pytest.approx(float(rest.detach()), rel=1e-4)
    model, wanted = recipe.model, 0.0
    seen = model.encoder(both[0], adaattn_recipe.SIMILAR)
    found = model.encoder(recipe.paint(contents, styles)[0], adaattn_recipe.SIMILAR)
    for layer in adaattn_recipe.SIMILAR:
        for i in range(2):
            a, b, c, d = (f[j : j + 1] for f in (seen[layer], found[layer]) for j in (i, i + 2))
            wanted += 100 * float(adaattn_recipe.image_similarity((a, b), (c, d)).detach()) / 2
    assert float(parts["similarity"]) == pytest.approx(wanted, rel=1e-4)


def test_the_next_frame_is_the_picture_a_little_moved():
    row = torch.linspace(0, 1, 64).expand(3, 3, 64, 64)
    frames = adaattn_recipe.moved(row)
    assert frames.shape == row.shape
    slopes = frames[:, 0, 32].diff().mean(1)
    torch.testing.assert_close(slopes * 63, torch.full((3,), 15 / 16), atol=0.03, rtol=0)  # nearer by a sixteenth
    assert len(frames[:, 0, 32, 0].unique()) == 3  # each in a direction of its own


def test_the_ablation_without_a_loss_has_none_of_it():
    recipe = a_recipe("adaattn", style_weight=0.0)
    _, parts = Lesson(recipe, "fp32")(torch.rand(1, 3, 48, 48), torch.rand(1, 3, 48, 48))
    assert set(parts) == {"content"}
    plain, local = (
        Lesson(a_recipe("adaattn", local=flag), "fp32")(*torch.rand(2, 1, 3, 48, 48, generator=_seeded()))[0]
        for flag in (False, True)
    )
    assert not torch.isclose(plain, local)


def test_targets_are_sought_and_made_in_the_channels_of_vgg19():
    """AdaAttN* of lifted features, and back: what would come of VGG-19 itself if the lifts lost nothing."""
    model = adaattn.create(lite.build())
    seen, look = (model.encoder(torch.rand(1, 3, 48, 64, generator=_seeded()), adaattn.LAYERS) for _ in range(2))
    look = {k: f.roll(3, 3) for k, f in look.items()}
    found = adaattn_recipe.targets(model, seen, look)
    lifts = {k: lift.double() for k, lift in model.encoder.lifts.items()}
    up_seen, up_look = (
        {k: torch.einsum("cr,nrhw->nchw", lifts[k], f.double()) for k, f in heads.items()} for heads in (seen, look)
    )
    for level in adaattn.LEVELS:
        queries, keys = (
            torch.cat([_normal(model._resize(up[k], up[level].shape[2:])) for k in adaattn.LAYERS if k <= level], 1)
            for up in (up_seen, up_look)
        )
        weights = torch.einsum("dp,dq->pq", queries[0].flatten(1), keys[0].flatten(1)).softmax(1)
        value = up_look[level][0].flatten(1)
        mean = value @ weights.T
        std = (value.square() @ weights.T - mean.square()).clamp_min(1e-8).sqrt()
        wanted = (std * _normal(up_seen[level])[0].flatten(1) + mean).view_as(up_seen[level][0])
        wanted = torch.einsum("cr,chw->rhw", lifts[level], wanted)
        error = (found[level][0] - wanted).norm() / wanted.norm()
        assert error < 0.02, level  # lifts are stored in 8 bits, and logits are large


def test_untrained_attention_attends_already():
    model = adaattn.create(lite.build())
    image = torch.rand(1, 3, 64, 64, generator=_seeded())
    features = model.encoder(image, adaattn.LAYERS)
    shares = Shares([1.0], None)
    for level in adaattn.LEVELS:
        found = model.stylised(features, level, [model.style_of(image)], shares)
        assert (found - features[level]).norm() < 0.05 * features[level].norm(), level  # each finds itself


def _normal(features):
    return (features - features.mean((2, 3), keepdim=True)) / features.var((2, 3), keepdim=True, correction=0).sqrt()


def _seeded():
    return torch.Generator().manual_seed(1)


TWO = """
import sys, torch
from torch import distributed as dist
sys.path[:0] = sys.argv[3:]
import test_training_models as t
from gatys_lab.training._fit import Training
dist.init_process_group("gloo")
run = t.a_run("adain", __import__("pathlib").Path(sys.argv[1]), batch=4)
losses = []
for i in range(3):
    losses.append(float(run.step(*run.fetch(i))["total"]))  # the mean over the processes
if dist.get_rank() == 0:
    open(sys.argv[2], "w").write(" ".join(f"{x:.9g}" for x in losses))
dist.barrier()  # a process that leaves while another is still talking aborts it
dist.destroy_process_group()
"""


def test_two_processes_learn_what_one_learns_with_all_of_the_batch(folder, tmp_path):
    run = a_run("adain", folder, batch=4)
    alone = [float(run.step(*run.fetch(i))["total"]) for i in range(3)]
    (tmp_path / "two.py").write_text(TWO)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone"]
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    subprocess.run(
        [*command, str(tmp_path / "two.py"), str(folder), str(tmp_path / "losses.txt"), *paths],
        check=True, capture_output=True, timeout=300,
    )  # fmt: skip
    together = [float(x) for x in (tmp_path / "losses.txt").read_text().split()]
    assert together[0] == pytest.approx(alone[0], rel=1e-6)
    assert together == pytest.approx(alone, rel=1e-3)  # Adam's first steps magnify rounding in tiny gradients
