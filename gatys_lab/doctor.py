"""What this machine has for gatys_lab, and whether it works: versions, devices, precision, weights, a self-test."""

import importlib.util
import time
from collections.abc import Iterator
from typing import NamedTuple

import torch

from gatys_lab import catalog, devices, manifest
from gatys_lab.config import DEFAULTS, STYLE_LAYERS
from gatys_lab.files import cache_folder
from gatys_lab.job import stylize
from gatys_lab.networks import _weights

EXTRAS = {"video": ("av", "cv2"), "onnx": ("onnx", "onnxscript"), "cluster": ("ray",)}  # by the name in brackets
TEST_PX, EVALUATIONS = 128, 12
ENOUGH = 0.8  # of the first loss, to which that many evaluations bring it at least; measured: .68


class Finding(NamedTuple):
    """One line. `fine` None: for information."""

    what: str
    text: str
    fine: bool | None = None


def examine() -> Iterator[Finding]:
    """One finding after another; the last is the self-test, which takes some seconds."""
    for name, version in manifest.versions().items():
        yield Finding(name, version)
    for extra, modules in EXTRAS.items():
        missing = [module for module in modules if importlib.util.find_spec(module) is None]
        text = f'without {", ".join(missing)}; pip install "gatys_lab[{extra}]" adds it' if missing else "there"
        yield Finding(f"extra [{extra}]", text)
    yield Finding("device", devices.describe(devices.choose("auto")))
    yield _cache()
    yield from (_found(name) for name in ("vgg19", "vgg16"))
    yield _embedded()
    yield _test()


def _cache() -> Finding:
    """Whether what is measured or fetched once can be kept."""
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".doctor").write_bytes(b"")
        (folder / ".doctor").unlink()
    except OSError as error:
        return Finding("cache", f"cannot write in '{folder}' ({error.strerror}); set $GATYS_LAB_CACHE", fine=False)
    return Finding("cache", str(folder), fine=True)


def _found(name: str) -> Finding:
    """Which weights would be used; none is no fault: lite needs none."""
    try:
        path = _weights.find(name)
        if path is None:
            return Finding(f"weights of {name}", f"none here; gatys-lab weights fetch {name} gets them")
        stored = _weights.fitting(name, path)
    except (OSError, ValueError) as error:
        return Finding(f"weights of {name}", str(error), fine=False)
    return Finding(f"weights of {name}", f"{path} ({stored.origin})", fine=True)


def _embedded() -> Finding:
    try:
        network = catalog.load("networks", DEFAULTS.network)
        precision = devices.precision("auto", network.to(devices.choose("auto")), tuple(STYLE_LAYERS))
    except (OSError, ValueError, RuntimeError) as error:
        return Finding(f"network {DEFAULTS.network}", str(error), fine=False)
    return Finding(f"network {DEFAULTS.network}", f"{network.source}, fastest in {precision}", fine=True)


def _test() -> Finding:
    """A picture twice: the loss must fall, and on a processor the pixels must be the same."""
    y, x = torch.meshgrid(torch.linspace(0, 1, TEST_PX), torch.linspace(0, 1, TEST_PX), indexing="ij")
    photo = torch.stack([x, y, (x > y) * 0.8])  # (3, H, W)
    waves = torch.stack([(20 * k * (x + y / k)).sin() / 2 + 0.5 for k in (1, 2, 3)])
    began = time.monotonic()
    try:
        first, second = (
            stylize(photo, waves, size_px=TEST_PX, single_scale=True, evaluations=EVALUATIONS) for _ in range(2)
        )
    except (OSError, ValueError, RuntimeError) as error:
        return Finding("self-test", f"{type(error).__name__}: {error}", fine=False)
    seconds, share = time.monotonic() - began, first.loss / first.trace[0].total
    same = torch.equal(first.pixels, second.pixels)
    alike = "the same pixels twice" if same else "not the same pixels twice"
    text = f"{EVALUATIONS} evaluations bring the loss to {share:.2f} of the first, {alike}, {seconds:.1f} s"
    return Finding("self-test", text, fine=share < ENOUGH and (same or first.pixels.device.type != "cpu"))
