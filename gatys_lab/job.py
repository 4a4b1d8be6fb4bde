"""The job: two pictures in, one out. Prepared once (so that it can be described before it runs), run coarse to fine."""

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image as Pillow
from torch import Tensor

from gatys_lab import catalog, devices, models
from gatys_lab.config import BALANCED_TV, DEFAULTS, STYLE_LAYERS, Config
from gatys_lab.engine import Callback, optimize
from gatys_lab.errors import UnknownName
from gatys_lab.images import Picture, as_image, longest, read, resize, resize_to, shape_at, to_pil
from gatys_lab.models import FeedForward
from gatys_lab.objective import Objective, balanced, content, smoothness, steadiness, style
from gatys_lab.specs import LossSpec, parse_loss
from gatys_lab.types import Image, Network, Optimizer, Reason, Step, StyleLoss

log = logging.getLogger(__name__)
Source = Any  # a path, a PIL image, an array or a tensor: what images.as_image takes
Losses = str | StyleLoss | LossSpec | Sequence[LossSpec] | Mapping[str | StyleLoss, float]


@dataclass(frozen=True)
class Row:
    """One evaluation in a trace. `parts` are weighted and sum to `total`."""

    evaluation: int  # 1, 2, ... over the whole job
    size_px: int
    seconds: float  # since the job began
    total: float
    parts: dict[str, float]


@dataclass(frozen=True)
class Result:
    """`image` is a PIL picture with the photo's transparency; `pixels` the same as a tensor (1, 3, H, W) in [0, 1]."""

    image: Pillow.Image
    pixels: Image
    loss: float
    reason: Reason
    evaluations: int
    seconds: float
    trace: tuple[Row, ...]


def stylize(photo: Source, painting: Source, *, callbacks: Sequence[Callback] = (), **options: Any) -> Result:
    """Paint `photo` in the manner of `painting`; `options` are the fields of `gatys_lab.config.Config`.

    Pictures are paths, PIL images, arrays or tensors. `style_loss` is a name, a StyleLoss, or a mapping of either to
    weights. Callbacks get a `Step` after each evaluation. What cannot be done raises a ValueError or OSError of one
    line.

    >>> stylize("photo.jpg", "painting.jpg", style_loss="mmd-gaussian").image.save("out.png")  # doctest: +SKIP
    """
    return prepare(photo, painting, **options).run(callbacks)


def prepare(photo: Source, painting: Source, **options: Any) -> "Job":
    """Read the pictures, load the network, check that all fits; nothing is optimised yet."""
    known = [field.name for field in fields(Config)]
    for option in options:
        if option not in known:
            raise UnknownName(f"no option '{option}'; there are {', '.join(known)}")
    config = replace(DEFAULTS, **options)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    device = devices.choose(config.device)
    photo, painting = _picture(photo, config), _picture(painting, config)
    asked = {"padding": config.padding, "preprocessing": config.preprocessing}
    asked = {option: value for option, value in asked.items() if value is not None}
    network = catalog.load("networks", config.network, weights=config.weights, pooling=config.pooling, **asked)
    optimizer, starter = catalog.load("optimizers", config.optimizer), _starter(config.init)
    objective = objective_of(config)
    precision = _precision(config, network.to(device), objective.layers)
    network = network.to(devices.PRECISIONS[precision])
    job = Job(config, photo, painting, network, optimizer, objective, device, precision, starter and starter.to(device))
    job.check()
    return job


@dataclass(frozen=True)
class Job:
    """Everything that a run needs, resolved."""

    config: Config
    photo: Picture
    painting: Picture
    network: Network
    optimizer: Optimizer
    objective: Objective
    device: torch.device
    precision: str  # of the network: fp32 or bf16
    starter: FeedForward | None = None  # paints the beginning, at the final size
    start: Image | None = None  # the beginning itself, at the final size

    @property
    def size_px(self) -> int:
        return min(self.config.size_px, longest(self.photo.image))

    @property
    def sizes(self) -> tuple[int, ...]:
        """Coarse to fine, doubling; without those that are too small for the deepest layer.

        What a model painted is fine already: going through the coarser sizes from there took longer to the same loss.
        """
        sizes = [self.size_px]
        single = self.config.single_scale or self.starter is not None or self.start is not None
        while not single and (half := sizes[0] // 2) >= self.config.smallest_px and self._fits(half):
            sizes.insert(0, half)
        return tuple(sizes)

    def following(self, before: Image, trust: Tensor, weight: float, evaluations: int) -> "Job":
        """The job of the next frame of a clip: from the last painting, warped, and held there where `trust` has it."""
        wanted = self.objective + weight * steadiness(before, trust) if weight > 0 and trust.any() else self.objective
        return replace(self, objective=wanted, start=before, config=replace(self.config, evaluations=evaluations))

    def describe(self) -> str:
        """One line for a person: device, network, sizes, losses."""
        source = getattr(self.network, "source", self.network.name)
        sizes = " -> ".join(str(size) for size in self.sizes)
        groups = " + ".join(dict.fromkeys(term.group for term in self.objective.terms))
        return f"device {devices.describe(self.device)}, network {source} in {self.precision}, {sizes} px, {groups}"

    def check(self) -> None:
        """Raises ValueError if the pictures are too small for the deepest layer at the final size."""
        need = self.network.minimum_px(self.objective.layers)
        for name, picture, size_px in self._pictures(self.size_px):
            height, width = shape_at(picture.image, size_px)
            if min(height, width) < need:
                raise ValueError(
                    f"the {name} is {width} x {height} px at this size; {self.network.name} needs {need} px a side for "
                    f"these layers: choose a larger size, or shallower layers"
                )

    def _fits(self, size_px: int) -> bool:
        need = self.network.minimum_px(self.objective.layers)
        return all(min(shape_at(picture.image, s)) >= need for _, picture, s in self._pictures(size_px))

    def _pictures(self, size_px: int) -> tuple[tuple[str, Picture, int], ...]:
        return ("photo", self.photo, size_px), ("painting", self.painting, self._style_px(size_px))

    def _style_px(self, size_px: int) -> int:
        return max(1, round(size_px * self.config.style_scale))

    def run(self, callbacks: Sequence[Callback] = ()) -> Result:
        """Coarse to fine. Ctrl-C delivers the best picture so far, enlarged to the final size."""
        trace = _Trace()
        image, solution = None, None
        try:
            for size_px in self.sizes:
                photo = resize(self.photo.image.to(self.device), size_px)
                image = self._first(photo) if image is None else resize_to(image, photo.shape[2:])
                solution = self._run_size(image, photo, size_px, [trace, *callbacks])
                image = solution.image
                trace.end_of_size()
                if solution.reason == "interrupted":
                    break
                log.debug("%d px: %s after %d evaluations", size_px, solution.reason, solution.evaluations)
        except KeyboardInterrupt:
            if solution is None:
                raise
            solution = replace(solution, reason="interrupted")
        return self._result(solution, trace)

    def _run_size(self, image: Image, photo: Image, size_px: int, callbacks: Sequence[Callback]) -> Any:
        painting = resize(self.painting.image.to(self.device), self._style_px(size_px))
        with torch.no_grad():
            features = self.network(photo, self.objective.layers_of(style=False))
            style_features = self.network(painting, self.objective.layers_of(style=True))
        objective = self.objective.fit(features, style_features)
        if self.config.content_weight is None and self.config.style_weight is None:
            objective = balanced(objective, self.network, photo, self.config.seed)
        return optimize(
            image,
            self.network,
            objective,
            self.optimizer,
            evaluations=self.config.evaluations,
            callbacks=callbacks,
            tolerance=self.config.tolerance,
        )

    def _first(self, photo: Image) -> Image:
        """Where the coarsest size begins: the photo, a model's painting of it, seeded noise, the painting, a file."""
        if self.start is not None:
            return resize_to(self.start.to(photo), photo.shape[2:])
        if self.config.init == "content":
            return photo
        if self.config.init == "noise":
            return torch.rand(photo.shape, generator=torch.Generator().manual_seed(self.config.seed)).to(photo)
        if self.starter is not None:
            painting = resize(self.painting.image.to(photo), self._style_px(longest(photo)))
            with torch.no_grad():
                return self.starter(photo, self.starter.style_of(painting))
        start = self.painting.image if self.config.init == "style" else _picture(self.config.init, self.config).image
        return resize_to(start.to(photo), photo.shape[2:])

    def _result(self, solution: Any, trace: "_Trace") -> Result:
        photo = shape_at(self.photo.image, self.size_px)
        pixels = resize_to(solution.image, photo)
        alpha = None if self.photo.alpha is None else resize_to(self.photo.alpha.to(pixels), photo)
        rows = tuple(trace.rows)
        return Result(to_pil(pixels, alpha), pixels, solution.loss, solution.reason, len(rows), trace.seconds(), rows)


class _Trace:
    """Collects a row an evaluation; losses stay on the device until a size is done."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._pending: list[tuple[Step, float]] = []
        self._began = time.monotonic()

    def seconds(self) -> float:
        return time.monotonic() - self._began

    def __call__(self, step: Step) -> None:
        self._pending.append((replace(step, image=_NOTHING), self.seconds()))

    def end_of_size(self) -> None:
        for step, seconds in self._pending:
            parts = {name: float(part) for name, part in step.parts.items()}
            self.rows.append(Row(len(self.rows) + 1, step.size_px, seconds, float(step.loss), parts))
        self._pending.clear()


_NOTHING = torch.empty(0)  # a trace keeps no images


def objective_of(config: Config) -> Objective:
    """The sum that a configuration asks for.

    Style losses whose target carries the content (style-swap) get no content term when they are alone.
    """
    losses = _losses(config.style_loss)
    mixture = sum(weight for _, weight in losses.values())
    if not mixture > 0:
        raise ValueError("the weights of the style losses sum to 0; wanted at least one above 0")
    alone = all(getattr(loss, "carries_content", False) for loss, _ in losses.values())
    raw = config.content_weight is not None or config.style_weight is not None
    strength = config.style_weight if config.style_weight is not None else 1.0 if raw or alone else config.balance
    terms = [
        strength * weight / mixture * style(loss, config.style_layers or _usual_layers(loss), name=name)
        for name, (loss, weight) in losses.items()
    ]
    if alone:
        log.info("the target of %s carries the content: no content term, and no balance", ", ".join(losses))
    else:
        terms.append((1.0 if config.content_weight is None else config.content_weight) * content(config.content_layers))
    tv = config.tv if config.tv is not None else 0.0 if raw else BALANCED_TV
    if tv > 0:
        terms.append(tv * smoothness(config.tv_kind))
    return Objective(tuple(term for objective in terms for term in objective.terms if term.factor * term.share > 0))


def _precision(config: Config, network: Network, layers: tuple[str, ...]) -> str:
    """What the network convolves in; a loss may ask for 32 bits, and gets them unless the user says otherwise."""
    asked, losses = config.precision, [loss for loss, _ in _losses(config.style_loss).values()]
    if asked == "auto" and any(getattr(loss, "needs_32_bits", False) for loss in losses):
        asked = "fp32"
    return devices.precision(asked, network, layers)


def _usual_layers(loss: StyleLoss) -> dict[str, float]:
    """Where a loss is measured unless the user says otherwise: a loss may have layers of its own (style-swap's)."""
    return getattr(loss, "usual_layers", STYLE_LAYERS)


def _losses(given: Losses) -> dict[str, tuple[StyleLoss, float]]:
    """Style losses with their weights, under names that tell them apart."""
    items: Iterable[tuple[Any, float]]
    if isinstance(given, Mapping):
        items = given.items()
    elif isinstance(given, Sequence) and not isinstance(given, str):
        items = [(item, 1.0) for item in given]
    else:
        items = [(given, 1.0)]
    losses: dict[str, tuple[StyleLoss, float]] = {}
    for item, weight in items:
        spec = parse_loss(item) if isinstance(item, str) else item
        if isinstance(spec, LossSpec):
            name, loss, weight = spec.name, catalog.load("losses", spec.name, **spec.options), weight * spec.weight
        else:
            name, loss = type(spec).__name__, spec
        count = sum(known.split("#")[0] == name for known in losses)
        losses[name if not count else f"{name}#{count + 1}"] = (loss, weight)
    return losses


def _starter(init: str) -> FeedForward | None:
    """The model that paints the beginning, if `init` names one, or is a file of its weights."""
    by_model = init in catalog.names("models") or Path(init).suffix == ".safetensors"
    return models.load_model(init) if by_model else None


def _picture(source: Source, config: Config) -> Picture:
    return read(source, max_pixels=config.max_pixels) if isinstance(source, str | Path) else as_image(source)
