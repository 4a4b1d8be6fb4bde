"""Clips painted: resumed runs end as uninterrupted ones, scenes are separate, the engine follows the flow."""

import json
from fractions import Fraction
from functools import partial

import pytest
import torch
from PIL import Image

from gatys_lab import _manners, cli, video
from gatys_lab._kept import Kept
from gatys_lab.clips import Clip, Frame, write
from gatys_lab.flow import warp
from gatys_lab.images import Picture, as_image, to_pil
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
    """Paints the mean of the frame and the last painting; remembers what it was shown; stops at a frame.

    Its pictures depend on how many frames it is given together, as a network's may in their last bits.
    """

    def __init__(self, stop_at=None, together=3):
        self.calls, self.stop_at, self.count, self.workers = [], stop_at, together, 2

    def together(self, frame):
        return self.count

    def __call__(self, frames, before):
        shade = 0.02 * len(frames)
        return [partial(self._end, 1 - shade - frame, seen) for frame, seen in zip(frames, before, strict=True)]

    def _end(self, painted, seen, last):
        self.calls.append(None if last is None else (seen, as_image(last).image))
        if len(self.calls) == self.stop_at:
            raise KeyboardInterrupt
        return painted if last is None else (painted + 2.1 * as_image(last).image) / 3.1


def painted(manner, frame, before=None):
    """One frame; `before`: the last one and its painting."""
    (end,) = manner([frame], [None if before is None else before[0]])
    return end(None if before is None else to_pil(before[1]))


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


class Full:
    """A file on a disk with room for so many bytes more: the last write before it is full is a part."""

    def __init__(self, file, room):
        self._file, self._room = file, room

    def write(self, data):
        if self._room == 0:
            raise OSError(28, "No space left on device")
        written = self._file.write(data[: self._room])
        self._room -= written
        return written

    def close(self):
        self._file.close()


@pytest.mark.parametrize("frames", [2, 7])
def test_a_disk_that_is_full_ends_it_and_what_was_kept_is_kept(clip, tmp_path, monkeypatch, frames):
    paint(clip, tmp_path / "whole.mkv", Memory())
    whole = Kept.__init__

    def init(self, path):
        whole(self, path)
        self._file = Full(self._file, int((frames + 0.5) * 48 * 64 * 3))

    monkeypatch.setattr(Kept, "__init__", init)
    with pytest.raises(OSError, match=r"frames.raw': No space left on device; free some space"):
        paint(clip, tmp_path / "out.mkv", Memory())
    assert not (tmp_path / "out.mkv").exists()
    monkeypatch.setattr(Kept, "__init__", whole)
    assert paint(clip, tmp_path / "out.mkv", Memory()).resumed == frames
    assert torch.equal(pixels(tmp_path / "out.mkv"), pixels(tmp_path / "whole.mkv"))


@pytest.mark.parametrize("damage", ["cut short", "a bit", "zeros"])
def test_kept_frames_that_a_power_cut_damaged_are_painted_again(clip, tmp_path, damage):
    paint(clip, tmp_path / "whole.mkv", Memory())
    with pytest.raises(KeyboardInterrupt):
        paint(clip, tmp_path / "out.mkv", Memory(7))
    kept = tmp_path / "out.mkv.frames" / "frames.raw"
    data, frame = bytearray(kept.read_bytes()), 48 * 64 * 3 + 16
    assert len(data) == 6 * frame
    if damage == "cut short":
        data = data[:-1]
    elif damage == "a bit":
        data[5 * frame + 1000] ^= 1
    else:
        data[5 * frame :] = bytes(10 * frame)
    kept.write_bytes(data)
    assert paint(clip, tmp_path / "out.mkv", Memory()).resumed == 5
    assert torch.equal(pixels(tmp_path / "out.mkv"), pixels(tmp_path / "whole.mkv"))


def test_what_is_on_its_way_is_among_the_frames(clip, tmp_path):
    """Whether a file or a folder of pictures: nothing half-written has the name of the result, or lies beside it."""
    for name in ("out.mp4", "pictures"):
        with pytest.raises(KeyboardInterrupt):
            paint(clip, tmp_path / name, Memory(5))
        (tmp_path / f"{name}.frames" / "unfinished" / ".killed.part").write_text("half")
        assert {p.name for p in tmp_path.iterdir()} == {"clip.mkv", f"{name}.frames"}
        assert paint(clip, tmp_path / name, Memory()).resumed == 4
        assert {p.name for p in tmp_path.iterdir()} == {"clip.mkv", name}
        (tmp_path / name).rename(tmp_path.parent / f"{tmp_path.name}{name}")


def test_a_link_is_kept(clip, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out.mkv").symlink_to(tmp_path / "elsewhere" / "film.mkv")
    paint(clip, tmp_path / "out.mkv", Memory())
    assert (tmp_path / "out.mkv").is_symlink() and len(pixels(tmp_path / "elsewhere" / "film.mkv")) == 8


def test_frames_of_two_sizes_are_never_given_together():
    images = [torch.rand(1, 3, 16, 16)] * 2 + [torch.rand(1, 3, 32, 16)] * 3
    frames = [Frame(image, Fraction(i), Fraction(1)) for i, image in enumerate(images)]
    manner = Memory(together=4)
    groups = video._Run(frames, manner, None, None)._groups()
    assert [[seen.number for seen in group] for group in groups] == [[1, 2], [3, 4, 5]]


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
    first = painted(OneByOne(Flickering()), frames[0])
    assert torch.equal(first, (frames[0] - 0.1).clamp(0, 1))
    alone = painted(OneByOne(Flickering(), steady=0.0), frames[1], (frames[0], first))
    assert torch.equal(alone, (frames[1] - 0.1).clamp(0, 1))
    model = Flickering()
    model(Picture(frames[0]))  # the next one is lighter
    lighter, first = (frames[1] + 0.1).clamp(0, 1), as_image(to_pil(first)).image
    held = painted(OneByOne(model, steady=3.0), frames[1], (frames[0], first)).clone().requires_grad_()
    back, trust = (found.clone() for found in _manners._motion(frames[0], frames[1]))
    warped, lighter = warp(first, back), lighter.clone()
    cost = (held - lighter).square().sum() + 3 * (trust * (held - warped).square()).sum()
    assert torch.autograd.grad(cost, held)[0].abs().max() < 1e-5  # least there
    assert 0 < trust.mean() < 1 and not torch.allclose(held, lighter)


def test_steady_makes_a_flickering_model_steadier(clip):
    frames = [frame.image for frame in Clip(clip)][:6]
    errors = []
    for steady in (0.0, 2.0, 8.0):
        manner, pictures = OneByOne(Flickering(), steady=steady), []
        for i, frame in enumerate(frames):
            pictures.append(painted(manner, frame, (frames[i - 1], pictures[-1]) if i else None))
        errors.append(temporal_error(frames, pictures))
    assert errors[0] > 2 * errors[1] > 2 * errors[2]


def test_how_steady_it_is_beside_the_clip(clip, tmp_path):
    figures = paint(clip, tmp_path / "out.mkv", Memory(), apart=3).figures
    assert set(figures) == {f"{n}{who}{how}" for n in ("short", "long") for who in ("", " floor")
                            for how in ("", " by frame")}  # fmt: skip
    assert len(figures["short by frame"]) == 7 and len(figures["long by frame"]) == 5
    assert "long" not in paint(clip, tmp_path / "out.mkv", Memory(), apart=20).figures


class Alone(Following):
    """The engine, told of nothing that was before."""

    def __call__(self, frames, before):
        return [lambda last: Following(self.painting, self.options)(frames, [None])[0](None)]


def test_the_engine_follows_the_flow_and_is_steadier_for_it(clip, painting, tmp_path):
    picture = as_image(painting)
    options = {"evaluations": 8, "network": "lite", "precision": "fp32"}
    errors = {}
    for name, manner in {
        "following": Following(picture, options, steady=20.0, evaluations=6),
        "alone": Alone(picture, options),
    }.items():
        errors[name] = paint(clip, tmp_path / "out.mkv", manner, end=0.55, apart=1).figures["short"]
    assert errors["following"] < errors["alone"]


def test_the_temporal_loss_is_felt(clip, painting):
    frames = [frame.image for frame in Clip(clip, end=0.15)]
    before = (frames[0], torch.full_like(frames[0], 0.5))
    error = {}
    for steady in (0.0, 1000.0):
        manner = Following(as_image(painting), {"evaluations": 6, "precision": "fp32"}, steady, evaluations=12)
        error[steady] = (painted(manner, frames[1], before) - 0.5).square().mean()
    assert error[1000.0] < 0.5 * error[0.0]


def test_an_engine_that_is_interrupted_stops_the_clip(clip, painting, monkeypatch):
    manner = Following(as_image(painting), {"evaluations": 2})

    class Interrupted:
        def run(self):
            return type("Result", (), {"reason": "interrupted"})

    monkeypatch.setattr(_manners, "prepare", lambda *a, **k: Interrupted())
    monkeypatch.setattr(_manners, "replace", lambda job, **k: job)
    with pytest.raises(KeyboardInterrupt):
        painted(manner, torch.rand(1, 3, 48, 64))


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
