"""The registry is the folder: a file in losses/, networks/, optimizers/ or models/ is a name that the user can type.

`mmd_linear.py` is `mmd-linear`. Listing imports nothing; loading imports one file and calls its `build(**options)`.
"""

import importlib
import importlib.util
import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

from gatys_lab.errors import UnknownName


def names(folder: str) -> tuple[str, ...]:
    """The names in a folder of the package ("losses", "networks", "optimizers"), sorted."""
    spec = importlib.util.find_spec(f"gatys_lab.{folder}")
    assert spec is not None and spec.submodule_search_locations is not None, folder
    files = (file for place in spec.submodule_search_locations for file in Path(place).glob("*.py"))
    return tuple(sorted(file.stem.replace("_", "-") for file in files if not file.stem.startswith("_")))


def load(folder: str, name: str, **options: Any) -> Any:
    """Build the object called `name`. Raises UnknownName (a ValueError) for a name or option that does not exist.

    For losses, `name` may also be the path of a .py file of the user's own with a `build()`.
    """
    build = _module(folder, name).build
    accepted = inspect.signature(build).parameters
    for option in options:
        if option not in accepted:
            known = ", ".join(accepted) or "no options"
            raise UnknownName(f"{name} has no option '{option}'; it takes {known}")
    return build(**options)


def options_of(folder: str, name: str) -> dict[str, inspect.Parameter]:
    """The options that `load(folder, name, ...)` takes, by name."""
    return dict(inspect.signature(_module(folder, name).build).parameters)


def _module(folder: str, name: str) -> ModuleType:
    if name.endswith(".py"):
        return _user_module(Path(name))
    if name not in names(folder):
        kind = "style loss" if folder == "losses" else folder.removesuffix("s")
        raise UnknownName(f"no {kind} '{name}'; there are {', '.join(names(folder))}")
    return importlib.import_module(f"gatys_lab.{folder}.{name.replace('-', '_')}")


def _user_module(path: Path) -> ModuleType:
    if not path.is_file():
        raise FileNotFoundError(f"no file '{path}'; wanted a Python file with a build() function")
    spec = importlib.util.spec_from_file_location(f"gatys_lab_user_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not callable(getattr(module, "build", None)):
        raise ValueError(f"{path} has no build() function; write one that returns a style loss")
    return module
