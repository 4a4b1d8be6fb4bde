"""Files of the models: weights and styles, as safetensors with a few words about what they belong to.

A file names the model and the encoder that it was made with, the encoder by the fingerprint of its weights: features of
another encoder would give a picture, and a wrong one.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as safetensors
from torch import Tensor, nn

from gatys_lab import catalog
from gatys_lab.digests import sha256
from gatys_lab.errors import UnknownName
from gatys_lab.files import check_ordinary, write_whole
from gatys_lab.models._base import FeedForward, Style, fingerprint
from gatys_lab.models._mirror import WIDTHS
from gatys_lab.networks import _rounding, lite
from gatys_lab.networks._formats import read_pickle
from gatys_lab.networks._vgg import VGG

Model = TypeVar("Model", bound=FeedForward)
EMBEDDED = Path(__file__).parent
KIND = "gatys_lab"  # the metadata's key; its value is JSON
WORDS = ("model", "style_of", "encoder", "fingerprint")  # in it


def weights(name: str, given: str | Path | None) -> Path:
    """The file given, or the package's own for the model `name`."""
    path = EMBEDDED / f"{name}.safetensors" if given is None else Path(given)
    if given is None and not path.is_file():
        raise ValueError(f"this package has no weights of {name}; name a file of them, or make one with `train {name}`")
    return path


def encoder(given: str | Path | VGG | None) -> VGG | None:
    """A network as it is, lite or vgg19 by name, or of a file of the weights of either; None stays None."""
    if given is None or isinstance(given, VGG):
        return given
    if str(given) in WIDTHS:
        return catalog.load("networks", str(given))
    if not Path(given).is_file():
        raise UnknownName(f"no encoder '{given}'; there are {', '.join(WIDTHS)}, or name a file of weights")
    return catalog.load("networks", "lite" if lite.is_lite(Path(given)) else "vgg19", weights=Path(given))


def published(path: Path, network: VGG | None) -> VGG:
    """The encoder of a published checkpoint. Raises ValueError if it is not the one that those were trained with."""
    if network is None or network.name != "vgg19" or network.padding != "reflect":
        came = "no encoder" if network is None else f"the encoder {network.source}"
        raise ValueError(f"{came} for '{path}', which was published with another; wanted vgg_normalised.pth: name it")
    return network


def channels(network: VGG, layer: str) -> int:
    """How many channels an encoder's relu layer has."""
    head = network.heads.get(layer)
    return head if head is not None else getattr(network, layer.replace("relu", "conv")).out_channels


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of a file of ours, float32, and what it says of itself."""
    check_ordinary(path, "a .safetensors file that gatys-lab wrote")
    try:
        with safe_open(path, "pt") as file:
            said = (file.metadata() or {}).get(KIND)
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(f"cannot read '{path}': {error}; wanted a .safetensors file that gatys-lab wrote") from error
    if said is None:
        raise ValueError(f"'{path}' does not say what it holds; wanted a .safetensors file that gatys-lab wrote")
    return _rounding.unpack(tensors), _parsed(said, path)


def _parsed(said: str, path: Path) -> dict[str, Any]:
    """What a file says of itself: words by name, and of a model its options."""
    try:
        found = json.loads(said)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(isinstance(found.get(name, ""), str) for name in WORDS):
        raise ValueError(f"what '{path}' says of itself is damaged; wanted a .safetensors file that gatys-lab wrote")
    return found


def _said(said: Mapping[str, Any], name: str, path: Path) -> Any:
    if name not in said:
        raise ValueError(f"'{path}' does not say its {name}; wanted a .safetensors file that gatys-lab wrote")
    return said[name]


def _metadata(**said: Any) -> dict[str, str]:
    return {KIND: json.dumps(said, sort_keys=True)}


def state_of(path: Path) -> dict[str, Tensor]:
    """The tensors of a published checkpoint (.pth, .pth.tar) by its own keys. Nothing in it is run."""
    check_ordinary(path, "a published checkpoint")
    return {key.removeprefix("module."): value for key, value in read_pickle(path).items()}


def rename(path: Path, state: Mapping[str, Tensor], names: Mapping[str, str], into: nn.Module) -> None:
    """Load a published state into layers of a module: `names` says what each of them is called in the file."""
    wanted = into.state_dict()
    renamed: dict[str, Tensor] = {}
    for ours, theirs in names.items():
        for part in ("weight", "bias"):
            key, shape = f"{theirs}.{part}", tuple(wanted[f"{ours}.{part}"].shape)
            found = tuple(state[key].shape) if key in state else "not there"
            if found != shape:
                raise ValueError(f"'{path}' does not fit: {key} is {found}, wanted {shape}")
            renamed[f"{ours}.{part}"] = state[key].float()
    surplus = set(state) - {f"{theirs}.{part}" for theirs in names.values() for part in ("weight", "bias")}
    if surplus:
        raise ValueError(f"'{path}' holds {min(surplus)}, which is not part of the model; wanted {len(names)} layers")
    into.load_state_dict(renamed, strict=False)


def load(path: Path, name: str, network: VGG | None, create: Callable[..., Model]) -> Model:
    """A model of ours from its file; `create(encoder, **options)` makes it with the options that it was trained with.

    Raises ValueError if the file is another model's, or was made with another encoder.
    """
    if path.name.startswith("latest_net_"):
        raise ValueError(f"'{path}' is one of three files of a published AdaAttN; name their folder")
    tensors, said = _weights_of(path, name)
    made_with, options = _said(said, "encoder", path), _said(said, "options", path)
    network = network or catalog.load("networks", made_with)
    _check_encoder(said, network, path)
    try:
        model = create(network, **options)
    except (TypeError, AttributeError) as error:
        raise ValueError(f"'{path}' says options that {name} does not have ({error}); get the file again") from None
    _load_into(model, tensors, path)
    return model.eval().requires_grad_(False)


def start(model: FeedForward, path: Path) -> None:
    """Give a model the weights of a trained one whose layers are the same, whatever else it was made with.

    Raises ValueError if the file is another model's, or was made with another encoder.
    """
    tensors, said = _weights_of(path, model.name)
    _check_encoder(said, model.encoder, path)
    _load_into(model, tensors, path)


def _weights_of(path: Path, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    tensors, said = read(path)
    if said.get("model") != name:
        came = said.get("model") or f"a style of {said.get('style_of')}"
        raise ValueError(f"'{path}' holds {came}, wanted weights of {name}")
    return tensors, said


def _check_encoder(said: Mapping[str, Any], network: VGG, path: Path) -> None:
    made_with, digits = _said(said, "encoder", path), _said(said, "fingerprint", path)
    if fingerprint(network) != digits:
        made = f"{made_with} ({digits})"
        raise ValueError(f"'{path}' was made for the encoder {made}, not {network.source} ({fingerprint(network)})")


def load_model(name: str | Path) -> FeedForward:
    """A model by name (adain, adaattn, inverse), or of a file of weights of ours, which says what it is."""
    if name in catalog.names("models"):
        return catalog.load("models", str(name))
    made = read(Path(name))[1].get("model")
    if made not in catalog.names("models"):
        raise ValueError(f"'{name}' holds no model; wanted weights of {', '.join(catalog.names('models'))}")
    return catalog.load("models", made, weights=Path(name))


def save(model: FeedForward, path: Path, options: Mapping[str, Any]) -> None:
    """The model's own weights in half precision, without its encoder's, whole or not at all."""
    own = {k: v for k, v in model.state_dict().items() if not k.startswith("encoder.")}
    halves = {k: v.detach().half().contiguous() if v.is_floating_point() else v for k, v in own.items()}
    said = {"encoder": model.encoder.name, "fingerprint": fingerprint(model.encoder), "options": dict(options)}
    write_whole(path, safetensors(halves, _metadata(model=model.name, **said)))


def save_style(style: Style, model: FeedForward, path: str | Path) -> None:
    """A style file: `load_style` gives it back to the same model. Whole or not at all."""
    said = {"style_of": model.name, "fingerprint": model.style_fingerprint(), "sha256": _digest(style)}
    write_whole(Path(path), safetensors({k: v.contiguous() for k, v in style.items()}, _metadata(**said)))


def load_style(path: str | Path, model: FeedForward) -> Style:
    """The style in a file. Raises ValueError if it was made by another model or with other weights."""
    tensors, said = read(Path(path))
    if "style_of" not in said:
        raise ValueError(f"'{path}' holds weights of {said.get('model')}, wanted a style: `gatys-lab style save`")
    came, wanted = ((said["style_of"], _said(said, "fingerprint", Path(path))), (model.name, model.style_fingerprint()))
    if came != wanted:
        told = [f"{name} with weights {digits}" for name, digits in (came, wanted)]
        raise ValueError(f"'{path}' is a style of {told[0]}, not of {told[1]}: make it again from its picture")
    if said.get("sha256") != _digest(tensors):
        raise ValueError(f"the numbers in '{path}' are not those that were saved: make it again from its picture")
    return tensors


def _digest(style: Style) -> str:
    """Of names, shapes and numbers, in 32 bits each."""
    parts = [(f"{name} {tuple(tensor.shape)}", tensor.detach().float().cpu()) for name, tensor in sorted(style.items())]
    return sha256(*(name.encode() + tensor.contiguous().numpy().tobytes() for name, tensor in parts))


def _load_into(model: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """All weights but the encoder's. Raises ValueError if a tensor is missing, superfluous or of another shape."""
    wanted = {k: v for k, v in model.state_dict().items() if not k.startswith("encoder.")}
    for name in sorted(wanted.keys() | tensors.keys()):
        came = tuple(tensors[name].shape) if name in tensors else "not there"
        need = tuple(wanted[name].shape) if name in wanted else "no such tensor"
        if came != need:
            raise ValueError(f"'{path}' does not fit: {name} is {came}, wanted {need}")
    model.load_state_dict(dict(tensors), strict=False)
