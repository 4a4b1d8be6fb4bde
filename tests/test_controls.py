"""The commands of docs/controls.md work as they stand there."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
from PIL import Image as Pillow

from gatys_lab import cli

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "controls.md").read_text(encoding="utf-8")
COMMANDS = [line.removeprefix("    gatys-lab ") for line in PAGE.splitlines() if line.startswith("    gatys-lab ")]
LESS = {"stylize": ["--size", "96", "--evaluations", "2"], "texture": ["--evaluations", "2"]}
LESS["reconstruct"] = LESS["stylize"]


@pytest.mark.parametrize("command", [c for c in COMMANDS if ">" not in c])
def test_a_command_of_the_page(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for picture in (ROOT / "examples" / "images").glob("*.[jp][pn]g"):
        shutil.copy(picture, tmp_path)
    for name, size in (("below", (451, 300)), ("above", (451, 300)), ("corner", Pillow.open("mosaic.png").size)):
        Pillow.linear_gradient("L").resize(size).save(f"{name}.png")
    (tmp_path / "mine.toml").write_text(re.search(r"(?m)(^    size = .*\n)(    .*\n)+", PAGE)[0].replace("    ", ""))
    words = shlex.split(command, comments=True)
    with pytest.raises(SystemExit) as done:
        cli.main([*words, *LESS[words[0]], "--quiet"])
    assert done.value.code == 0 and Pillow.open(words[words.index("-o") + 1]).width >= 96


def test_every_picture_of_the_page_is_there():
    shown = re.findall(r"!\[[^]]+\]\((images/controls/[^)]+)\)", PAGE)
    assert {ROOT / "docs" / path for path in shown} == set((ROOT / "docs" / "images" / "controls").iterdir())
    assert len(COMMANDS) > len(shown) > 8


def test_presets_of_the_page_are_those_there_are():
    from gatys_lab import presets

    assert set(re.findall(r"(?m)^\| `([a-z-]+)` \| [a-z0-9]", PAGE)) & set(presets.names()) == set(presets.names())
