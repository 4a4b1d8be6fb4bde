"""Clips painted: resumed runs end as uninterrupted ones, scenes are separate, the engine follows the flow."""

import json
from fractions import Fraction

import pytest
import torch
from PIL import Image

from gatys_lab import cli, video
from gatys_lab.clips import Clip, Frame, write
from gatys_lab.images import Picture, as_image
from gatys_lab.metrics import temporal_error
from gatys_lab.video import Following, OneByOne, is_cut, paint


def clip_of(images, path):
    write([Frame(image, Fraction(i, 10), Fraction(1, 10)) for i, image in enumerate(images)], path)
    return path


@pytest.fixture
def clip(tmp_path):
    """Six frames of a square that moves, then two of another scene."""
    images = []
    for i in range(6):
        image = torch.full((1, 3, 48, 64), 0.3)
        image[..., 10:30, 5 + 4 * i : 25 + 4 * i] = torch.tensor([0.9, 0.5, 0.2])[:, None, None]
        images.append(image)
    return clip_of([*images, torch.full((1, 3, 48, 64), 0.9), torch.full((1, 3, 48, 64), 0.9)], tmp_path / "clip.mkv")


class Memory:
    """Paints the mean of the frame and the last painting; remembers what it was shown; stops at a frame."""

    def __init__(self, stop_at=None):
        self.calls, self.stop_at = [], stop_at

    def __call__(self, frame, before):
        self.calls.append(before)
        if len(self.calls) == self.stop_at:
            raise KeyboardInterrupt
        return 1 - frame if before is None else (1 - frame + 2.1 * before[1]) / 3.1


def pixels(path):
    return torch.cat([frame.image for frame in Clip(path)])


def test_every_frame_sees_the_last_one_of_its_scene(clip, tmp_path):
    manner, told = Memory(), []
    outcome = paint(clip, tmp_path / "out.mkv", manner, report=lambda done, of: told.append((done, of)))
    assert (outcome.frames, outcome.scenes, outcome.resumed, outcome.lost) == (8, 2, 0, 0)
    assert [call is None for call in manner.calls] == [True, *[False] * 5, True, False]
    frames = [frame.image for frame in Clip(clip)]
    for i in (1, 2, 7):
        torch.testing.assert_close(manner.calls[i][0], frames[i - 1])
    assert told == [(i, 8) for i in range(1, 9)]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.mkv", "out.mkv"]


def test_an_interrupted_run_ends_like_one_that_was_not(clip, tmp_path):
    paint(clip, tmp_path / "whole.mkv", Memory())
    for stop in (1, 4, 7):
        out = tmp_path / f"resumed{stop}.mkv"
        with pytest.raises(KeyboardInterrupt):
            paint(clip, out, Memory(stop))
        assert not out.exists()
        again = Memory()
        assert paint(clip, out, again).resumed == stop - 1
        assert len(again.calls) == 8 - (stop - 1)
        assert torch.equal(pixels(out), pixels(tmp_path / "whole.mkv"))


@pytest.mark.parametrize("full_at", [3, 8])
def test_a_disk_that_is_full_ends_it_and_what_was_kept_is_kept(clip, tmp_path, monkeypatch, full_at):
    whole, written = video.write, []

    def write_(picture, place):
        written.append(place)
        if len(written) == full_at:
            raise OSError(28, "No space left on device")
        whole(picture, place)

    monkeypatch.setattr(video, "write", write_)
    with pytest.raises(OSError, match="No space"):
        paint(clip, tmp_path / "out.mkv", Memory())
    assert not (tmp_path / "out.mkv").exists()
    monkeypatch.setattr(video, "write", whole)
    assert paint(clip, tmp_path / "out.mkv", Memory()).resumed >= full_at - 1


def test_frames_of_another_run_are_not_used(clip, tmp_path):
    out = tmp_path / "out.mkv"
    for change in ({"key": "other"}, {"end": 0.75}, {"size_px": 32}):
        with pytest.raises(KeyboardInterrupt):
            paint(clip, out, Memory(4), key="one")
        assert paint(clip, out, Memory(), **{"key": "one", **change}).resumed == 0


def test_a_folder_that_is_somebody_elses_is_left_alone(clip, tmp_path):
    (tmp_path / "out.mkv.frames").mkdir()
    (tmp_path / "out.mkv.frames" / "precious.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="in the way"):
        paint(clip, tmp_path / "out.mkv", Memory())
    assert (tmp_path / "out.mkv.frames" / "precious.txt").read_text() == "mine"


def test_a_part_of_the_clip_without_frames_is_told(clip, tmp_path):
    with pytest.raises(ValueError, match="could be decoded from 5 s on"):
        paint(clip, tmp_path / "out.mkv", Memory(), start=5)


def test_what_a_cut_is():
    a, b = torch.rand(2, 1, 3, 40, 60)
    assert not is_cut(a, a) and not is_cut(a, a.roll(3, 3))
    assert is_cut(a, torch.ones_like(a)) and is_cut(a, b[..., :50])


class Flickering:
    """A model whose pictures are the frames, lighter and darker in turn."""

    def __init__(self):
        self.count = 0

    def __call__(self, picture):
        self.count += 1
        return Picture((picture.image + 0.1 * (-1) ** self.count).clamp(0, 1))


def test_a_models_pictures_are_held_by_the_last_one(clip):
    frames = [frame.image for frame in Clip(clip)][:3]
    first = OneByOne(Flickering())(frames[0], None)
    assert torch.equal(first, (frames[0] - 0.1).clamp(0, 1))
    alone = OneByOne(Flickering(), steady=0.0)(frames[1], (frames[0], first))
    assert torch.equal(alone, (frames[1] - 0.1).clamp(0, 1))
    model = Flickering()
    model(Picture(frames[0]))  # the next one is lighter
    lighter, before = (frames[1] + 0.1).clamp(0, 1), (frames[0], first)
    held = OneByOne(model, steady=3.0)(frames[1], before).requires_grad_()
    warped, trust = video._moved(before, frames[1])
    cost = (held - lighter).square().sum() + 3 * (trust * (held - warped).square()).sum()
    assert torch.autograd.grad(cost, held)[0].abs().max() < 1e-5  # least there
    assert 0 < trust.mean() < 1 and not torch.allclose(held, lighter)


def test_steady_makes_a_flickering_model_steadier(clip):
    frames = [frame.image for frame in Clip(clip)][:6]
    errors = []
    for steady in (0.0, 2.0, 8.0):
        manner, painted = OneByOne(Flickering(), steady=steady), []
        for i, frame in enumerate(frames):
            painted.append(manner(frame, (frames[i - 1], painted[-1]) if i else None))
        errors.append(temporal_error(frames, painted))
    assert errors[0] > 2 * errors[1] > 2 * errors[2]


def test_how_steady_it_is_beside_the_clip(clip, tmp_path):
    figures = paint(clip, tmp_path / "out.mkv", Memory(), apart=3).figures
    assert set(figures) == {f"{n}{who}{how}" for n in ("short", "long") for who in ("", " floor")
                            for how in ("", " by frame")}  # fmt: skip
    assert len(figures["short by frame"]) == 7 and len(figures["long by frame"]) == 5
    assert "long" not in paint(clip, tmp_path / "out.mkv", Memory(), apart=20).figures


def test_the_engine_follows_the_flow_and_is_steadier_for_it(clip, painting, tmp_path):
    picture = as_image(painting)
    options = {"evaluations": 8, "network": "lite", "precision": "fp32"}
    errors = {}
    for name, manner in {
        "following": Following(picture, options, steady=20.0, evaluations=6),
        "alone": lambda frame, before: Following(picture, options)(frame, None),
    }.items():
        errors[name] = paint(clip, tmp_path / "out.mkv", manner, end=0.55, apart=1).figures["short"]
    assert errors["following"] < errors["alone"]


def test_the_temporal_loss_is_felt(clip, painting):
    frames = [frame.image for frame in Clip(clip, end=0.15)]
    before = (frames[0], torch.full_like(frames[0], 0.5))
    painted = {}
    for steady in (0.0, 1000.0):
        manner = Following(as_image(painting), {"evaluations": 6, "precision": "fp32"}, steady, evaluations=12)
        painted[steady] = (manner(frames[1], before) - 0.5).square().mean()
    assert painted[1000.0] < 0.5 * painted[0.0]


def test_an_engine_that_is_interrupted_stops_the_clip(clip, painting, monkeypatch):
    manner = Following(as_image(painting), {"evaluations": 2})

    class Interrupted:
        def run(self):
            return type("Result", (), {"reason": "interrupted"})

    monkeypatch.setattr(video, "prepare", lambda *a, **k: Interrupted())
    monkeypatch.setattr(video, "replace", lambda job, **k: job)
    with pytest.raises(KeyboardInterrupt):
        manner(Picture(torch.rand(1, 3, 48, 64)).image, None)


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main(["video", *(str(a) for a in arguments)])
    return ended.value.code, capsys.readouterr().err


@pytest.mark.parametrize("model", ["adain", "inverse", "engine"])
def test_the_command(clip, painting, tmp_path, capsys, model):
    own = ["--evaluations", 3] if model == "engine" else ["--alpha", 0.7]
    arguments = [clip, painting, "-o", tmp_path / "out.gif", "--model", model, "--end", 0.25, *own]
    status, said = run(capsys, *arguments, "--report", tmp_path / "steady.json", "--plot", tmp_path / "steady.png")
    assert status == 0, said
    assert "3 frames, 1 scenes" in said and "warp error: short" in said
    assert len(list(Clip(tmp_path / "out.gif"))) == 3
    assert json.loads((tmp_path / "steady.json").read_text())["short"] > 0
    assert min(Image.open(tmp_path / "steady.png").size) > 400


def test_an_error_stands_at_the_later_of_its_frames(tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(video.plots, "draw", lambda curves, path, **words: drawn.update(curves))
    figures = {"short": 0.2, "short by frame": [0.1, 0.2, 0.3, 0.2], "long": 0.4, "long by frame": [0.3, 0.5]}
    video.draw_steadiness(figures, tmp_path / "x.png")  # of 5 frames, long: 3 apart
    assert {name: list(along) for name, (along, _) in drawn.items()} == {"short": [2, 3, 4, 5], "long": [4, 5]}


@pytest.mark.parametrize(
    ("options", "status", "words"),
    {
        "unknown model": (["--model", "magic"], 2, "no model 'magic'; there are adaattn, adain, inverse, engine"),
        "alpha of the engine": (["--model", "engine", "--alpha", "0.5"], 2, "--alpha is a feed-forward model's"),
        "loss of a model": (["--style-loss", "bn"], 2, "--style-loss is the engine's, not for --model adain"),
        "no weight": (["--steady", "nan"], 2, "nan is no finite number"),
        "unknown suffix": (["-o", "out.avi"], 1, "no format '.avi'"),
        "no time": (["--start", "3", "--end", "2"], 1, "wanted 0 <= start < end"),
    }.values(),
)
def test_what_the_command_refuses(clip, painting, tmp_path, capsys, options, status, words):
    out = [] if "-o" in options else ["-o", tmp_path / "out.mp4"]
    code, said = run(capsys, clip, painting, *out, *options)
    assert (code, words in said) == (status, True), said
    assert "Traceback" not in said and not (tmp_path / "out.mp4").exists()
