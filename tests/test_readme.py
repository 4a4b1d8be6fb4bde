"""What the README and docs/comparing.md say works: their Python examples are run as they stand, the commands parsed."""

import re
import shlex
from pathlib import Path

import pytest
from PIL import Image as Pillow

from gatys_lab.cli import group

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMPARING, VIDEO, RUNS = (
    (ROOT / "docs" / page).read_text(encoding="utf-8") for page in ("comparing.md", "video.md", "runs.md")
)
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.S)
COMMAND = (
    r"^    (?:pip install .* && )?(gatys-lab (?:stylize|replay|doctor|texture|fast|weights|train|compare|video)[^#\n]*)"
)
COMMANDS = re.findall(COMMAND, README + COMPARING + VIDEO + RUNS, re.M)


@pytest.mark.parametrize("code", EXAMPLES, ids=["stylize", "fast", "objects"])
def test_the_examples_run(code, tmp_path, monkeypatch, photo, painting):
    monkeypatch.chdir(tmp_path)
    for file, name in ((photo, "photo.jpg"), (painting, "painting.jpg")):
        Pillow.open(file).save(tmp_path / name)
    exec(code.replace("evaluations=40", "evaluations=4"), {})  # noqa: S102
    assert Pillow.open("out.png").size == (90, 72) or Pillow.open("out.png").size == (256, 205)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_are_understood(command, tmp_path, monkeypatch):
    """Parsed with empty files of the names that they use; nothing is run."""
    monkeypatch.chdir(tmp_path)
    words = shlex.split(command)[1:]
    for word in words:
        if file := re.fullmatch(
            r"([\w/]+\.(?:jpg|png|pth|safetensors|mp4))(?::[\d.]+)?", word
        ):  # painting.jpg:0.7, too
            Path(file[1]).parent.mkdir(parents=True, exist_ok=True)
            Path(file[1]).touch()
        elif word.endswith("/"):
            Path(word).mkdir(exist_ok=True)
    context = group.make_context("gatys-lab", list(words))
    name, sub, rest = group.resolve_command(context, [*context._protected_args, *context.args])
    while hasattr(sub, "resolve_command"):
        context = sub.make_context(name, list(rest), parent=context)
        name, sub, rest = sub.resolve_command(context, [*context._protected_args, *context.args])
    sub.make_context(name, list(rest), parent=context)


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", COMPARING, re.S), ids=["compare", "metrics"])
def test_the_examples_of_comparing_run(code, tmp_path, monkeypatch, capsys, photo, painting):
    monkeypatch.chdir(tmp_path)
    for file, name in ((photo, "photo.jpg"), (painting, "painting.jpg")):
        Pillow.open(file).save(tmp_path / name)
    exec(code, {})  # noqa: S102
    assert "tensor(" in capsys.readouterr().out or (tmp_path / "sheet.html").is_file()


def test_the_main_job_is_the_first_command():
    assert COMMANDS[0] == "gatys-lab stylize examples/images/astronaut.jpg examples/images/strokes.png -o stylized.png"
    assert len(COMMANDS) >= 8 and len(EXAMPLES) == 3
