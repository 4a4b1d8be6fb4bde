import pytest
import torch
from safetensors.torch import load_file, save_file
from vgg_files import tensors

from gatys_lab import cli
from gatys_lab.networks import lite
from gatys_lab.networks._vgg import VGG
from gatys_lab.training import _slim
from gatys_lab.training._measure import Lifted, feature_errors, rank_correlations, transfer
from gatys_lab.training._pictures import Crops, files_in
from gatys_lab.training._pool import Pool
from gatys_lab.training.lite import RELUS, Distillation, Settings, train, weights_of

QUICK = Settings(steps=4, fresh=1, drawn=1, size_px=32, pool=2, moment_batches=1, every=2)


def small_teacher(widths=lite.WIDTHS):
    """Random weights, always the same; by default as narrow as `lite` itself."""
    torch.manual_seed(1)
    net = VGG("teacher", widths, padding="reflect")
    for step in lite.WIDTHS:
        torch.nn.init.kaiming_normal_(getattr(net, step).weight)
        torch.nn.init.normal_(getattr(net, step).bias, std=0.1)
    return net.requires_grad_(False)


def a_run(folder, **changes):
    crops = Crops(files_in(folder), QUICK.size_px)
    return Distillation(small_teacher(), crops, crops, Settings(**{**vars(QUICK), **changes}))


def test_crops_depend_on_seed_and_step_alone_and_skip_what_is_broken(folder):
    first, second = Crops(files_in(folder), 32), Crops(files_in(folder), 32)
    first.draw(3, seed=1, step=7)
    a, b = first.draw(20, seed=1, step=8), second.draw(20, seed=1, step=8)
    assert a.shape == (20, 3, 32, 32) and torch.equal(a, b) and a.min() >= 0 and a.max() <= 1
    assert not torch.equal(a, second.draw(20, seed=1, step=9))
    assert [p.name for p in second.corrupt] == ["broken.jpg"]


def test_files_are_held_out_by_name(folder):
    assert [p.name for p in files_in(folder, hold_out=3)] == ["0.png", "1.png", "2.png", "3.png"]
    with pytest.raises(ValueError, match="nothing left"):
        files_in(folder, hold_out=7)


def test_nothing_but_broken_files_is_said(tmp_path):
    (tmp_path / "a.jpg").write_text("no")
    with pytest.raises(ValueError, match="none of 1 files"):
        Crops(files_in(tmp_path), 32).draw(1, 0, 0)


def test_channels_are_chosen_by_what_they_explain():
    """Three independent signals, copied and mixed: the chosen three explain all twelve."""
    signals = torch.randn(3, 4000, dtype=torch.float64)
    mix = torch.randn(12, 3, dtype=torch.float64)
    a = torch.cat([mix @ signals + 2, torch.ones(1, 4000, dtype=torch.float64)])
    moment = a @ a.T / 4000
    chosen = _slim.choose(moment, 3)
    weight, bias = _slim.explain(moment, chosen)
    assert len(set(chosen)) == 3
    torch.testing.assert_close(weight @ a[chosen] + bias[:, None], a[:-1], atol=1e-2, rtol=1e-3)


def test_cut_to_its_own_width_a_network_is_itself():
    teacher = small_teacher(dict.fromkeys(lite.WIDTHS, 6))
    teacher.preprocess = torch.nn.Conv2d(3, 3, 1).requires_grad_(False)
    heads = {step.replace("conv", "relu"): 6 for step in lite.WIDTHS}
    student = VGG("student", dict.fromkeys(lite.WIDTHS, 6), heads=heads, padding="reflect").requires_grad_(False)
    batches = [torch.rand(2, 3, 48, 48) for _ in range(3)]
    lifts = _slim.cut(teacher, student, _slim.moments(teacher, batches, RELUS))
    image = torch.rand(1, 3, 40, 48)
    found, wanted = Lifted(student, lifts)(image, RELUS), teacher(image, RELUS)
    for layer in RELUS:
        error = (found[layer] - wanted[layer]).norm() / wanted[layer].norm()
        assert error < 0.02, layer


def narrow(width):
    heads = {step.replace("conv", "relu"): width for step in lite.WIDTHS}
    return VGG("student", dict.fromkeys(lite.WIDTHS, width), heads=heads, padding="reflect").requires_grad_(False)


def test_a_grafted_network_computes_what_the_smaller_one_did():
    small, large = narrow(4), narrow(6)
    _slim.graft(large, small.state_dict())
    image = torch.rand(1, 3, 40, 48)
    before, after = (net(image, tuple(lite.WIDTHS)) for net in (small, large))
    for layer, features in before.items():
        torch.testing.assert_close(after[layer][:, :4], features)
        assert after[layer][:, 4:].abs().max() > 0  # what grew is alive
    with pytest.raises(ValueError, match=r"conv1_1.weight is \(6, 3, 3, 3\), wanted \(4, 3, 3, 3\) or narrower"):
        _slim.graft(small, large.state_dict())


def test_heads_are_solved_by_least_squares():
    teacher, student = small_teacher(dict.fromkeys(lite.WIDTHS, 6)), narrow(6)
    _slim.graft(student, teacher.state_dict())
    batches = [torch.rand(2, 3, 48, 48) for _ in range(3)]
    lifts = {layer: torch.linalg.qr(torch.randn(6, 6)).Q for layer in RELUS}
    _slim.solve_heads(teacher, student, lifts, batches)
    image = torch.rand(1, 3, 40, 48)
    found, wanted = Lifted(student, lifts)(image, RELUS), teacher(image, RELUS)
    for layer in RELUS:
        assert (found[layer] - wanted[layer]).norm() < 0.02 * wanted[layer].norm(), layer


def test_training_goes_on_from_an_earlier_student(folder, tmp_path):
    first = a_run(folder, steps=6)
    train(first, tmp_path / "first.safetensors", lambda progress: None)
    earlier = lite.read(tmp_path / "first.safetensors")
    second = a_run(folder)
    second.start = earlier
    second.begin()
    for name, tensor in second.student.state_dict().items():
        if name.startswith("conv"):
            torch.testing.assert_close(tensor, earlier[name])


def test_a_pools_pictures_approach_what_they_are_moved_towards():
    pool, generator = Pool.empty(4, 16), torch.Generator().manual_seed(0)
    contents, styles = torch.rand(2, 4, 3, 16, 16)
    items = pool.draw(contents, styles, generator)
    assert sorted(items.tolist()) == [0, 1, 2, 3] and (pool.age == 0).all()
    before = (pool.image - pool.style).square().mean()
    for _ in range(6):
        pool.move(items, lambda image, style: image - style)
    assert (pool.image - pool.style).square().mean() < before / 4
    assert (pool.age == 24).all() and pool.image.min() >= 0 and pool.image.max() <= 1


def test_training_mends_a_spoilt_student(folder):
    run = a_run(folder, steps=400, rate=0.003)
    run.begin()
    images = [run.contents.draw(1, 9, i) for i in range(6)]

    def error():
        return sum(feature_errors(Lifted(run.student, run.lifts), run.teacher, images).values())

    with torch.no_grad():
        for step in lite.WIDTHS:
            getattr(run.student, step.replace("conv", "head")).weight.mul_(1.3)
    spoilt = error()
    for step in range(40):
        run.step(*run.fetch(step))
    assert error() < 0.95 * spoilt


def test_an_interrupted_run_resumed_is_the_uninterrupted_one(folder, tmp_path):
    whole = a_run(folder)
    train(whole, tmp_path / "whole.safetensors", lambda progress: None)

    class Killed(Exception):
        pass

    half = a_run(folder)
    original = half.step

    def step(*batch):
        if half.done == 3:
            raise Killed
        return original(*batch)

    half.step = step
    with pytest.raises(Killed):
        train(half, tmp_path / "half.safetensors", lambda progress: None)
    resumed = a_run(folder)
    train(resumed, tmp_path / "half.safetensors", lambda progress: None)
    assert resumed.done == 4
    for name, tensor in weights_of(whole).items():
        assert torch.equal(tensor, weights_of(resumed)[name]), name
    assert lite.build(tmp_path / "half.safetensors").source == "half.safetensors"


def test_a_checkpoint_of_other_settings_is_refused(folder, tmp_path):
    train(a_run(folder, steps=1), tmp_path / "x.safetensors", lambda progress: None)
    with pytest.raises(ValueError, match="other seed"):
        train(a_run(folder, seed=5), tmp_path / "x.safetensors", lambda progress: None)
    (tmp_path / "x.checkpoint").write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="is no checkpoint"):
        train(a_run(folder), tmp_path / "x.safetensors", lambda progress: None)


def test_the_figures_of_a_student_that_is_its_teacher():
    teacher = small_teacher(dict.fromkeys(lite.WIDTHS, 8))
    lifts = {layer: torch.eye(8) for layer in RELUS}
    images = [torch.rand(1, 3, 32, 40) for _ in range(4)]
    assert all(error < 1e-6 for error in feature_errors(Lifted(teacher, lifts), teacher, images).values())
    ranks = rank_correlations(teacher, teacher, images, 6, ("gram", "bn"))
    assert ranks == {"gram": pytest.approx(1), "bn": pytest.approx(1)}
    _, left = transfer(teacher, teacher, images[0], images[1], evaluations=20)
    assert 0 < left < 0.8


def test_the_command_trains_from_any_vgg19_file(folder, tmp_path, capsys):
    teacher = tmp_path / "vgg19.safetensors"
    save_file(tensors("vgg19", last="conv5_1"), teacher)
    arguments = ["train", "lite", "--teacher", teacher, "--photos", folder, "-o", tmp_path / "own.safetensors"]
    with pytest.raises(SystemExit) as done:
        cli.main([*map(str, arguments), "--steps", "1", "--crop", "32"])
    assert done.value.code == 0, capsys.readouterr().err
    assert "1 files could not be read" in capsys.readouterr().err
    assert set(load_file(tmp_path / "own.safetensors")) == set(load_file(lite.EMBEDDED))
