"""Damaged and strange input of every kind ends in a picture or in one line, in time, in memory, and in its own place.

A hundred cases in every run of the tests; a thousand with

    python -m pytest -m long tests/test_fuzz.py -n 0 -s

which also prints how many of each kind were painted and how many refused. The same ones each time; other ones with
`--hypothesis-seed=random` are no part of what is promised, and welcome.
"""

import json
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hostile
import hostile_files
import pytest
from hostile import kept_promise, limited, refused_in_one_line
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from odd_options import ENGINE, FAST, ODD, RECONSTRUCT, TEXTURE
from PIL import Image as Pillow

from gatys_lab import masks, models, presets, stylize
from gatys_lab.checkpoint import Checkpoint
from gatys_lab.images import read
from gatys_lab.models import adain

FEW, MANY = 13, 130  # cases of each kind
SMALL = ["--evaluations", "2", "--size", "64"]
LAYERS = ["--style-layers", "relu1_1", "--content-layers", "relu2_1"]
QUICK = ["--size", "40", "--smallest", "40", "--evaluations", "2", "--threads", "1", "--precision", "fp32", *LAYERS]
OPTIONS = {"size_px": 40, "smallest_px": 40, "evaluations": 6, "threads": 1, "precision": "fp32",
           "style_layers": {"relu1_1": 1.0}, "content_layers": {"relu2_1": 1.0}}  # fmt: skip
RESUMED = ["--size", "40", "--smallest", "40", "--evaluations", "6", "--threads", "1", "--precision", "fp32", *LAYERS]


class Bench:
    """Sound files of every kind, which the cases damage."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pictures = hostile_files.pictures()
        for name in ("rgb.png", "rgb.jpg"):
            (folder / name).write_bytes(self.pictures[name])
        self.photo, self.painting = folder / "rgb.png", folder / "rgb.jpg"
        assert hostile.run("stylize", self.photo, self.painting, "-o", folder / "made.png", *QUICK).status == 0
        self.manifest = json.loads((folder / "made.json").read_text())
        self.checkpoint = self._checkpoint(folder / "run")
        self.model = adain.build()
        models.save_style(self.model.style_of(read(self.painting).image), self.model, folder / "style")
        self.style = (folder / "style").read_bytes()
        self.presets = {name: (Path(presets.__file__).parent / f"{name}.toml").read_bytes() for name in presets.names()}

    def _checkpoint(self, path: Path) -> bytes:
        class Killed(Exception):
            pass

        def kill(step: Any) -> None:
            if step.evaluation == 4:
                raise Killed

        with pytest.raises(Killed):
            stylize(self.photo, self.painting, checkpoint=Checkpoint(path, 0), callbacks=[kill], **OPTIONS)
        return path.read_bytes()


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return Bench(tmp_path_factory.mktemp("bench"))


Case = Callable[[Bench, Path, st.DataObject], bool]
CASES: dict[str, Case] = {}


def kind(case: Case) -> Case:
    CASES[case.__name__] = case
    return case


def one_in(data: st.DataObject, count: int) -> bool:
    return data.draw(st.integers(1, count)) == count


def readable(act: Callable[[], Any]) -> bool:
    """Whether the library does it, or refuses in one line."""
    try:
        with limited():
            act()
    except Exception as error:
        refused_in_one_line(error)
        return False
    return True


@kind
def pictures(bench: Bench, folder: Path, data: st.DataObject) -> bool:
    name = data.draw(st.sampled_from(sorted(bench.pictures)))
    file = folder / name
    file.write_bytes(data.draw(hostile.damaged(bench.pictures[name])))
    sound = readable(lambda: read(file, max_pixels=10**6))
    if one_in(data, 3):
        both = (file, bench.painting) if one_in(data, 2) else (bench.photo, file)
        return kept_promise(folder, "stylize", *both, "-o", folder / "out.png", *QUICK)
    return sound


@kind
def mask_files(bench: Bench, folder: Path, data: st.DataObject) -> bool:
    name = data.draw(st.sampled_from(sorted(bench.pictures)))
    if one_in(data, 2):
        (folder / name).write_bytes(data.draw(hostile.damaged(bench.pictures[name])))
    else:
        size = data.draw(st.tuples(st.integers(1, 96), st.integers(1, 80)) | st.just((24, 20)))
        Pillow.new("L", size, data.draw(st.integers(0, 255))).save(folder / (name := "mask.png"))
    photo = read(bench.photo).image
    sound = readable(lambda: masks.check_mask(masks.read_mask(folder / name, max_pixels=10**6), photo, "photo"))
    if one_in(data, 2):
        option = data.draw(st.sampled_from(["--content-mask", "--style-mask"]))
        words = ["stylize", bench.photo, bench.painting, "-o", folder / "out.png", *QUICK, option, folder / name]
        return kept_promise(folder, *words)
    return sound


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value) if isinstance(value, str | bool) else str(value)


@kind
def configs(bench: Bench, folder: Path, data: st.DataObject) -> bool:
    if one_in(data, 3):
        text = data.draw(hostile.damaged(bench.presets[data.draw(st.sampled_from(sorted(bench.presets)))]))
    else:
        keys = st.sampled_from(sorted(presets.KEYS)) | st.text(max_size=6)
        said = data.draw(st.dictionaries(keys, hostile.VALUES, max_size=3))
        lines = [f"{key if key in presets.KEYS else json.dumps(key)} = {_toml(value)}" for key, value in said.items()]
        text = "\n".join(lines).encode("utf-8", "surrogatepass")
    (folder / "mine.toml").write_bytes(text)
    words = ["stylize", bench.photo, bench.painting, "-o", folder / "out.png", "--config", folder / "mine.toml"]
    if one_in(data, 2):
        return kept_promise(folder, *words, *QUICK[:10])
    return kept_promise(folder, *words, "--dump-config")


def _tamed(manifest: Any) -> Any:
    """What would only take its time is made quick."""
    options = manifest.get("options") if isinstance(manifest, dict) else None
    if isinstance(options, dict) and type(options.get("evaluations")) is int and options["evaluations"] > 4:
        options["evaluations"] = 4
    return manifest


@kind
def manifests(bench: Bench, folder: Path, data: st.DataObject) -> bool:
    if one_in(data, 5):
        text = data.draw(hostile.damaged(json.dumps(bench.manifest).encode()))
    else:
        text = json.dumps(_tamed(data.draw(hostile.altered(bench.manifest)))).encode()
    (folder / "m.json").write_bytes(text)
    return kept_promise(folder, "replay", folder / "m.json", "-o", folder / "out.png")


@kind
def checkpoints(bench: Bench, folder: Path, data: st.DataObject) -> bool:
    (folder / "run").write_bytes(data.draw(hostile.altered_safetensors(bench.checkpoint)))
    words = ["stylize", bench.photo, bench.painting, "-o", folder / "out.png", *RESUMED]
    return kept_promise(folder, *words, "--checkpoint", folder / "run", "--resume", out=("out.png", "out.json", "run"))


@kind
def weight_files(bench: Bench, folder: Path, data: st.DataObject) -> bool:
    marker = folder / "ran"
    if one_in(data, 2):
        whole = hostile_files.pickles(marker)
        made = whole[data.draw(st.sampled_from(sorted(whole)))]
        file = folder / "w.pth"
        file.write_bytes(made if one_in(data, 3) else data.draw(hostile.damaged(made)))
    else:
        file = folder / "w.safetensors"
        file.write_bytes(data.draw(hostile.altered_safetensors(hostile_files.weights())))
    done = kept_promise(folder, "weights", "verify", file)
    if one_in(data, 3):
        more = ["--network", "vgg19", "--weights", file, "--style-layers", "relu1_1", "--content-layers", "conv1_1"]
        done = kept_promise(folder, "stylize", bench.photo, bench.painting, "-o", folder / "out.png", *QUICK, *more)
    assert not marker.exists()
    return done


@kind
def style_files(bench: Bench, folder: Path, data: st.DataObject) -> bool:
    file = folder / "s.safetensors"
    if one_in(data, 3):
        embedded = (Path(models.__file__).parent / "adain.safetensors").read_bytes()
        file.write_bytes(data.draw(hostile.altered_safetensors(embedded)))
        words = ["--weights", file, "--size", "40", "--threads", "1"]
        return kept_promise(folder, "fast", bench.photo, bench.painting, "-o", folder / "out.png", *words)
    file.write_bytes(data.draw(hostile.altered_safetensors(bench.style)))
    if one_in(data, 3):
        return kept_promise(folder, "fast", bench.photo, file, "-o", folder / "out.png", "--threads", "1")
    return readable(lambda: bench.model(read(bench.photo).image, models.load_style(file, bench.model)))


@kind
def options(bench: Bench, folder: Path, data: st.DataObject) -> bool:
    command, table, pictures = data.draw(
        st.sampled_from(
            [("stylize", ENGINE, (bench.photo, bench.painting))] * 4
            + [("fast", FAST, (bench.photo, bench.painting))] * 2
            + [("texture", TEXTURE, (bench.painting,)), ("reconstruct", RECONSTRUCT, (bench.photo,))]
        )
    )
    words = [
        command,
        *pictures,
        "-o",
        data.draw(st.sampled_from([folder / "out.png"] * 8 + [folder, folder / "x.exe"])),
    ]
    words += {"stylize": QUICK[:10], "texture": SMALL, "reconstruct": SMALL}.get(command, [])
    names = {"photo": bench.photo, "painting": bench.painting, "folder": folder}
    for name in data.draw(st.lists(st.sampled_from(sorted(table)), max_size=4, unique=True)):
        value = data.draw(st.sampled_from([*table[name] * 3, *ODD]) if table[name] else st.just(None))
        words += [name] if value is None else [name, value.format(**names)]
    return kept_promise(folder, *words)


def survive(name: str, bench: Bench, cases: int) -> None:
    counts: Counter[bool] = Counter()

    @settings(
        max_examples=cases,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(st.data())
    def each(data: st.DataObject) -> None:
        with tempfile.TemporaryDirectory(dir=bench.folder) as folder:
            counts[CASES[name](bench, Path(folder), data)] += 1

    each()
    print(f"\n{name}: {counts.total()} cases, {counts[True]} done, {counts[False]} refused")
    assert counts.total() >= cases


@pytest.mark.parametrize("name", CASES)
def test_a_hundred(name, bench):
    survive(name, bench, FEW)


@pytest.mark.long
@pytest.mark.parametrize("name", CASES)
def test_a_thousand(name, bench):
    survive(name, bench, MANY)
