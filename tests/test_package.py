"""The package as users get it: wheel, sdist, editable, uninstalled clone."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def python(*arguments, cwd=None, **environment):
    """Run this interpreter isolated from the checkout; its output."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        env=environment or None,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy of what git tracks or would track: no build folder is left in the checkout."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("no git checkout to build from")
    for name in listed.stdout.split("\n"):
        if name and (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    python("-m", "build", "--wheel", "--sdist", "--outdir", out, source)
    return next(out.glob("*.whl"))


def test_the_wheel_holds_the_network_and_the_losses_and_nothing_at_top_level(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in (
        "networks/lite-1.safetensors",
        "networks/lite-1.md",
        "losses/gram.py",
        "py.typed",
        "cli/stylize.py",
        "compare/page.html",
    ):
        assert f"gatys_lab/{wanted}" in names
    assert {name.split("/")[0] for name in names if "dist-info" not in name} == {"gatys_lab"}


def test_the_sdist_holds_the_same(wheel):
    listing = python("-m", "tarfile", "-l", next(wheel.parent.glob("*.tar.gz")))
    for wanted in (
        "losses/gram.py",
        "gatys_lab/networks/lite-1.safetensors",
        "tests/test_job.py",
        "examples/images/ink.png",
    ):
        assert wanted in listing


def test_the_command_runs_from_the_wheel_outside_the_checkout(wheel, tmp_path, photo, painting):
    site = tmp_path / "site"
    python("-m", "pip", "install", "--quiet", "--no-deps", "--target", site, wheel)
    out = tmp_path / "out.png"
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r}); import gatys_lab; assert {str(site)!r} in gatys_lab.__file__; "
    )
    code += (
        "import gatys_lab.losses; assert 'site' in gatys_lab.losses.__file__; from gatys_lab.cli import main; main()"
    )
    python("-c", code, "stylize", photo, painting, "-o", out, "--size", "48", "--evaluations", "2", cwd=tmp_path)
    assert out.is_file()


def test_an_uninstalled_clone_works(tmp_path):
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from gatys_lab.losses import gram; gram.build()"
    python("-c", code, cwd=tmp_path)


def test_the_folder_says_that_it_is_no_module_of_its_own(tmp_path):
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\ntry: import losses\nexcept ImportError as e: print(e)"
    assert "gatys_lab.losses" in python("-c", code, cwd=tmp_path)
