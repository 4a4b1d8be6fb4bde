"""The registry is the folder: a file in losses/, networks/, optimizers/ or models/ is a name that the user can type.

`mmd_linear.py` is `mmd-linear`. Listing imports nothing; loading imports one file and calls its `build(**options)`.
"""

import importlib
import importlib.util
import inspect
import math
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

from gatys_lab.errors import UnknownName

WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a word"}


def names(folder: str) -> tuple[str, ...]:
    """The names in a folder of the package ("losses", "networks", "optimizers"), sorted."""
    spec = importlib.util.find_spec(f"gatys_lab.{folder}")
    assert spec is not None and spec.submodule_search_locations is not None, folder
    files = (file for place in spec.submodule_search_locations for file in Path(place).glob("*.py"))
    return tuple(sorted(file.stem.replace("_", "-") for file in files if not file.stem.startswith("_")))


def load(folder: str, name: str, **options: Any) -> Any:
    """Build the object called `name`. Raises UnknownName (a ValueError) for a name or option that does not exist.

    An option of a kind that `build` does not take, or that is no finite number, raises ValueError.
    For losses, `name` may also be the path of a .py file of the user's own with a `build()`.
    """
    build = _module(folder, name).build
    accepted = inspect.signature(build).parameters
    for option in options:
        if option not in accepted:
            known = ", ".join(accepted) or "no options"
            raise UnknownName(f"{name} has no option '{option}'; it takes {known}")
        _check(name, option, options[option], accepted[option].annotation)
    return build(**options)


def options_of(folder: str, name: str) -> dict[str, inspect.Parameter]:
    """The options that `load(folder, name, ...)` takes, by name."""
    return dict(inspect.signature(_module(folder, name).build).parameters)


def _check(name: str, option: str, value: Any, hint: Any) -> None:
    """Raises ValueError for a number, word or truth value where the signature wants another of these, or no such thing.

    Objects are their own business, and so is what the signature says nothing about.
    """
    kinds = get_args(hint) or (hint,)
    if type(value) not in WORDS or hint is inspect.Parameter.empty or Any in kinds:
        return
    taken = [kind for kind in kinds if kind in WORDS]
    fits = type(value) in taken or (type(value) is int and float in taken)
    if fits and (isinstance(value, str) or math.isfinite(value)):
        return
    wanted = " or ".join(WORDS[kind] for kind in taken) or "something that cannot be written here"
    raise ValueError(f"{option}={value!r} of {name}; wanted {wanted}")


def _module(folder: str, name: str) -> ModuleType:
    if folder == "losses" and name.endswith(".py"):
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
