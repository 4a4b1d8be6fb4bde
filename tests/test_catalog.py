import subprocess
import sys

import pytest

from gatys_lab import catalog
from gatys_lab.errors import UnknownName


def test_names_are_the_files_as_the_user_types_them():
    assert catalog.names("losses") == (
        *("bn", "gaussian-wasserstein", "gram", "histogram", "mmd-gaussian", "mmd-linear", "mmd-poly"),
        *("mrf", "sliced-wasserstein", "style-swap"),
    )
    assert catalog.names("networks") == ("lite", "vgg16", "vgg19")
    assert catalog.names("optimizers") == ("adam", "lbfgs", "lbfgsb")


def test_listing_imports_no_torch():
    code = "import sys; from gatys_lab import catalog; catalog.names('losses'); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_name_is_told_what_there_is():
    with pytest.raises(UnknownName, match="no style loss 'grem'; there are bn, gaussian-wasserstein, gram"):
        catalog.load("losses", "grem")


@pytest.mark.parametrize("folder", ["losses", "networks", "optimizers"])
def test_an_unknown_option_is_refused_by_name(folder):
    for name in catalog.names(folder):
        with pytest.raises(UnknownName, match=f"{name} has no option 'nonsense'"):
            catalog.load(folder, name, nonsense=1)


def test_a_file_of_the_users_own_is_a_loss(tmp_path):
    own = tmp_path / "own.py"
    own.write_text("def build(scale: float = 1.0):\n    return ('own', scale)\n")
    assert catalog.load("losses", str(own), scale=2.0) == ("own", 2.0)
    own.write_text("x = 1\n")
    with pytest.raises(ValueError, match=r"has no build\(\)"):
        catalog.load("losses", str(own))
    with pytest.raises(FileNotFoundError, match="no file"):
        catalog.load("losses", str(tmp_path / "none.py"))
