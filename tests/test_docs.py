"""What the README and the pages of docs/ say works: every command and every piece of Python is run, at a small size.

Commands stand in indented blocks, Python in fenced ones. What needs files that nobody has here is parsed, and no more.
"""

import re
import shlex
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from PIL import Image as Pillow

from gatys_lab import cli, clips, presets
from gatys_lab.images import read

ROOT = Path(__file__).parent.parent
PAGES = {path.name: path.read_text("utf-8") for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))}
COMMANDS = [
    pytest.param(line, id=f"{page}:{line[10:60]}")
    for page, text in PAGES.items()
    for line in dict.fromkeys(re.findall(r"(?m)^    (?:pip install .* && )?((?:cat \S+ \| )?gatys-lab [^#\n]*)", text))
]
SNIPPETS = [
    pytest.param(code, id=f"{page}:{number}")
    for page, text in PAGES.items()
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", text, re.S), start=1)
]
ENGINE = ["--size", "96", "--evaluations", "2"]
SMALLER = {
    "stylize": [*ENGINE, "--smallest", "64"],
    "reconstruct": ENGINE,
    "plan": ENGINE,
    "batch": [*ENGINE, "--style-scale", "1"],
    "compare": ENGINE,
    "texture": ["--evaluations", "2"],
    "fast": ["--size", "64"],
    "video": ["--size", "64"],
    "train": ["--steps", "1", "--batch", "2", "--crop", "48"],
    "train measure": ["--size", "64", "--pairs", "1", "--hold-out-photos", "2", "--hold-out-paintings", "2"],
}
# Weights of others, what would download them, and workers, which tests/test_cluster.py has.
UNAVAILABLE = re.compile(r"\.pth\b|vgg19|checkpoints/|--debug|--workers|--cluster")


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """The current folder, with the files that the pages name."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "examples" / "images", "examples/images")
    for picture in Path("examples/images").glob("*.[jp][pn]g"):
        Pillow.open(picture).resize((160, 106)).save(picture.name)
    for name, source in (("photo", "chelsea.jpg"), ("painting", "ink.png"), ("other", "mosaic.png")):
        Pillow.open(source).convert("RGB").save(f"{name}.jpg")
    shutil.copy("strokes.png", "drawing.png")
    for mask in ("sky", "left", "right", "above", "below"):
        Pillow.linear_gradient("L").resize((160, 106)).save(f"{mask}.png")
    Pillow.linear_gradient("L").resize((160, 106)).save("corner.png")
    for folder in ("photos", "paintings"):
        Path(folder).mkdir()
        for i, name in enumerate(("chelsea.jpg", "ink.png", "coffee.jpg", "rocket.jpg", "mosaic.png", "photo.jpg")):
            Pillow.open(name).convert("RGB").resize((64, 50)).save(f"{folder}/{i}.jpg")
    return tmp_path


def _has(command, name):
    return re.search(rf"(?<![\w/.-]){re.escape(name)}\b", command) is not None


def _prepare(command):
    """Files that are the result of another command, where this one reads them."""
    if _has(command, "clip.mp4"):
        image = read("photo.jpg").image
        frames = (clips.Frame(image.roll(i, 3), Fraction(i, 2), Fraction(1, 2)) for i in range(10))
        clips.write(frames, Path("clip.mp4"))
    if command.startswith("gatys-lab batch"):
        for file in (*Path("photos").glob("[2-9].jpg"), *Path("paintings").glob("[2-9].jpg")):
            file.unlink()
        for name in ("a.jpg", "b.jpg"):
            shutil.copy("photos/0.jpg", name)
        Path("list.csv").write_text("content,style\nphotos/0.jpg,ink.png\n")
    if command.startswith("gatys-lab replay"):
        assert _run("stylize photo.jpg painting.jpg -o out.png --size 64 --evaluations 2 -q") == 0
    if _has(command, "my-adain.safetensors") and not command.startswith("gatys-lab train adain"):
        shutil.copy(ROOT / "gatys_lab/models/adain.safetensors", "my-adain.safetensors")
    if "gatys_lab/models/adaattn.safetensors" in command:
        Path("gatys_lab/models").mkdir(parents=True)
        shutil.copy(ROOT / "gatys_lab/models/adaattn.safetensors", "gatys_lab/models")
    if _has(command, "my-lite.safetensors"):
        shutil.copy(ROOT / "gatys_lab/networks/lite-1.safetensors", "my-lite.safetensors")
    if _has(command, "style.safetensors") and "style save" not in command:
        assert _run("style save painting.jpg -o style.safetensors --size 64") == 0
    if _has(command, "mine.toml") and ">" not in command:
        text = re.search(r"(?m)(^    size = .*\n)(    .*\n)+", PAGES["controls.md"])[0]
        Path("mine.toml").write_text(text.replace("    ", ""))


def _run(line):
    with pytest.raises(SystemExit) as done:
        cli.main(shlex.split(line))
    return done.value.code


def _parse(words):
    """By click, down to the command's own options; nothing is run."""
    context = cli.group.make_context("gatys-lab", list(words))
    name, sub, rest = cli.group.resolve_command(context, [*context._protected_args, *context.args])
    while hasattr(sub, "resolve_command"):
        context = sub.make_context(name, list(rest), parent=context)
        name, sub, rest = sub.resolve_command(context, [*context._protected_args, *context.args])
    sub.make_context(name, list(rest), parent=context)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command(command, desk):
    words = shlex.split(command)
    if UNAVAILABLE.search(command):
        for word in words:
            if re.fullmatch(r"[\w.-]+\.(pth|safetensors)", word):
                Path(word).touch()
            elif word.endswith("/"):
                Path(word).mkdir(exist_ok=True)
        _parse(words[1:])
        return
    _prepare(command)
    verb = " ".join(words[1:3]) if words[1:3] == ["train", "measure"] else words[1]
    smaller = list(SMALLER.get(verb, ()))
    if "evaluations=25,100" in words:
        words[words.index("evaluations=25,100")] = "evaluations=2,3"
        smaller = ["--size", "96"]
    if verb == "video" and "engine" in words:
        smaller += ["--evaluations", "2"]
    if {"|", ">"} & set(words):
        shim = f"{shlex.quote(sys.executable)} -m gatys_lab"
        env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "GATYS_LAB_CACHE": str(desk / "cache")}
        done = subprocess.run(  # noqa: S602, of our own pages
            command.replace("gatys-lab", shim), shell=True, env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert Path(words[words.index(">") + 1]).stat().st_size > 0
        return
    assert _run(shlex.join([*words[1:], *smaller])) == 0
    if "-o" in words:
        out = Path(words[words.index("-o") + 1])
        assert any(out.iterdir()) if out.is_dir() else out.stat().st_size > 0


@pytest.mark.parametrize("code", SNIPPETS)
def test_a_piece_of_python(code, desk):
    for file in Path().glob("*.[jp][pn]g"):
        Pillow.open(file).resize((96, 80)).save(file)
    before = set(desk.rglob("*"))
    exec(code.replace("evaluations=40", "evaluations=4"), {"torch": torch})  # noqa: S102
    assert set(desk.rglob("*")) != before or "print(" in code or "stylize(" in code


def test_the_main_job_is_the_first_command():
    first = "gatys-lab stylize examples/images/astronaut.jpg examples/images/strokes.png -o stylized.png"
    assert next(p.values[0] for p in COMMANDS if p.id.startswith("README")) == first
    assert len(COMMANDS) > 60 and len(SNIPPETS) > 8


def test_every_picture_of_the_controls_is_there():
    shown = re.findall(r"!\[[^]]+\]\((images/controls/[^)]+)\)", PAGES["controls.md"])
    assert {ROOT / "docs" / path for path in shown} == set((ROOT / "docs" / "images" / "controls").iterdir())


def test_presets_of_the_controls_are_those_there_are():
    named = set(re.findall(r"(?m)^\| `([a-z-]+)` \| [a-z0-9]", PAGES["controls.md"]))
    assert named & set(presets.names()) == set(presets.names())


@pytest.mark.parametrize("page", PAGES)
def test_the_links_of_a_page_lead_somewhere(page):
    place = ROOT if page == "README.md" else ROOT / "docs"
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[\w-]*)?\)", PAGES[page]):
        assert target.startswith("https://") or (place / target).exists(), target


def test_the_site_is_built_without_a_warning(tmp_path):
    pytest.importorskip("sphinx")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "-d", tmp_path / "trees", ROOT / "docs", tmp_path / "site"]
    done = subprocess.run(
        command, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "mmd-gaussian" in (tmp_path / "site" / "reference" / "cli.html").read_text()
    assert "Gatys et al. 2016, eq. 7" in (tmp_path / "site" / "reference" / "library.html").read_text()
