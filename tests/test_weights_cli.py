"""`gatys-lab weights`: what it says, and how it ends."""

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
import torch
from click.testing import CliRunner, Result
from vgg_files import as_normalised, as_torchvision, tensors

from gatys_lab.cli.weights import command
from gatys_lab.networks import _formats, _weights, lite, vgg19


@pytest.fixture(autouse=True)
def nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("GATYS_LAB_WEIGHTS", raising=False)
    monkeypatch.setenv("GATYS_LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    monkeypatch.setattr(lite, "EMBEDDED", tmp_path / "lite-1.safetensors")
    monkeypatch.setattr(_weights, "URLS", {n: f"file:///nowhere/{n}-dcbb9e9d.pth" for n in _weights.URLS})


@pytest.fixture
def normalised(tmp_path: Path) -> Path:
    path = tmp_path / "vgg19_normalised.pth"
    torch.save(as_normalised(tensors()), path)
    return path


def embed() -> None:
    """An untrained lite network where the trained one belongs."""
    from safetensors.torch import save_file

    save_file({key: value.contiguous() for key, value in lite.create().state_dict().items()}, lite.EMBEDDED)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def lines(*arguments: object) -> list[str]:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


def test_list_where_there_is_nothing() -> None:
    assert lines("list") == [
        "vgg19  not found; `gatys-lab weights fetch vgg19` downloads it",
        "vgg16  not found; `gatys-lab weights fetch vgg16` downloads it",
        "lite  not found",
    ]


def test_list_says_what_is_found_where_and_what_it_is(
    tmp_path: Path, normalised: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATYS_LAB_WEIGHTS", str(tmp_path))
    embed()
    broken = tmp_path / "hub" / "checkpoints" / "vgg19-dcbb9e9d.pth"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"broken")
    first, second, third, fourth = lines("list")
    expected = "vgg19 or vgg16, preprocessing caffe, layers conv1_1 ... relu2_1, padding reflect, pooling rounds up"
    assert first == f"vgg19  {normalised}: {expected}"
    assert second.startswith(f"vgg19  {broken}: unusable: cannot read")
    assert second.endswith("(not in use)")
    assert third.startswith("vgg16  not found")
    assert fourth == f"lite  {lite.EMBEDDED}: embedded, preprocessing within, to relu5_1"


def test_path(normalised: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(run("path", "vgg19").exception, FileNotFoundError)
    monkeypatch.setenv("GATYS_LAB_WEIGHTS", str(normalised))
    assert lines("path", "vgg19") == [str(normalised)]
    assert isinstance(run("path", "lite").exception, FileNotFoundError)
    embed()
    assert lines("path", "lite") == [str(lite.EMBEDDED)]


def test_fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(run("fetch", "vgg19").exception, ConnectionError)
    torch.save(as_torchvision(tensors()), tmp_path / "file.pth")
    digest = hashlib.sha256((tmp_path / "file.pth").read_bytes()).hexdigest()[:8]
    served = (tmp_path / "file.pth").rename(tmp_path / f"vgg19-{digest}.pth")
    monkeypatch.setitem(_weights.URLS, "vgg19", served.as_uri())
    kept = tmp_path / "cache" / f"vgg19-{digest}.safetensors"
    assert lines("fetch", "vgg19") == [str(kept)]
    served.unlink()
    assert lines("fetch", "vgg19") == lines("path", "vgg19") == [str(kept)]


def test_fetch_of_the_embedded_network_needs_no_internet() -> None:
    assert "install gatys-lab again" in str(run("fetch", "lite").exception)
    embed()
    assert lines("fetch", "lite") == [str(lite.EMBEDDED)]


def test_convert(tmp_path: Path, normalised: Path) -> None:
    out = tmp_path / "out.safetensors"
    (line,) = lines("convert", normalised, out)
    assert line.startswith(f"{out}: vgg19 or vgg16, preprocessing caffe")
    image = torch.rand(1, 3, 17, 19)
    before, after = vgg19.build(normalised), vgg19.build(out)
    assert torch.equal(before(image, ("relu2_1",))["relu2_1"], after(image, ("relu2_1",))["relu2_1"])
    assert (after.padding, after.ceil_mode, after.source) == ("reflect", True, "vgg19_normalised.pth (caffe)")
    lines("convert", normalised, out, "--preprocessing", "torchvision")
    assert _formats.read(out).preprocessing == "torchvision"


def test_convert_refuses_what_it_cannot_read_or_write(tmp_path: Path, normalised: Path) -> None:
    assert run("convert", normalised, tmp_path / "out.pth").exit_code == 2
    assert run("convert", tmp_path / "nowhere.pth", tmp_path / "out.safetensors").exit_code == 2
    assert isinstance(run("convert", __file__, tmp_path / "out.safetensors").exception, ValueError)
    assert isinstance(run("convert", normalised, tmp_path / "no" / "out.safetensors").exception, OSError)
    unknown = run("convert", normalised, tmp_path / "out.safetensors", "--preprocessing", "odd").exception
    assert "there are torchvision, caffe, caffe-rgb, none" in str(unknown)
    assert not list(tmp_path.glob("*out*"))


def test_verify(normalised: Path) -> None:
    (line,) = lines("verify", normalised)
    digest = hashlib.sha256(normalised.read_bytes()).hexdigest()
    assert re.search("vgg19.*preprocessing caffe.*relu2_1.*padding reflect", line)
    assert line.endswith(f"SHA-256 {digest}")
    embed()
    assert "lite, layers conv1_1 ... relu5_1, padding reflect" in lines("verify", lite.EMBEDDED)[0]
    result = run("verify", __file__)
    assert result.exit_code == 1
    assert isinstance(result.exception, ValueError)
    assert str(result.exception).startswith(f"cannot read '{__file__}'")


def test_unknown_network_is_an_error_of_the_command_line() -> None:
    assert run("path", "vgg11").exit_code == 2


def test_help_imports_no_torch() -> None:
    assert isinstance(command, click.Group)
    assert set(command.commands) == {"list", "path", "fetch", "convert", "verify"}
    code = "import sys; import gatys_lab.cli.weights; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
