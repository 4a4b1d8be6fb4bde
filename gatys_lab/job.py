"""The job: a photo and styles in, one picture out. Prepared once (so that it can be described), run coarse to fine."""

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import torch
from PIL import Image as Pillow
from torch import Tensor

from gatys_lab import catalog, color, devices, processes, starts, tiling
from gatys_lab.checkpoint import Checkpoint, Keeper
from gatys_lab.config import DEFAULTS, Config
from gatys_lab.endings import told, without_memory
from gatys_lab.engine import AtRest, Callback, optimize
from gatys_lab.engine import told as said
from gatys_lab.errors import UnknownName
from gatys_lab.images import Picture, longest, picture_of, resize, resize_to, shape_at, to_pil
from gatys_lab.manifest import facts_of
from gatys_lab.masks import Kept
from gatys_lab.models import FeedForward
from gatys_lab.networks._vgg import VGG
from gatys_lab.objective import Fitted, Objective, balanced, steadiness
from gatys_lab.recipe import needs_32_bits, objective_of, optimizer_of
from gatys_lab.states import Frozen
from gatys_lab.styles import Source, Style, amounts, gather, placed, regions
from gatys_lab.trace import Row, Trace
from gatys_lab.types import Image, Network, Optimizer, Reason

log = logging.getLogger(__name__)


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
    notes: tuple[str, ...] = ()  # what went wrong and how it went on, a line each


def stylize(
    photo: Source,
    painting: Any,
    *,
    callbacks: Sequence[Callback] = (),
    checkpoint: Checkpoint | None = None,
    **options: Any,
) -> Result:
    """Paint `photo` in the manner of `painting`; `options` are the fields of `gatys_lab.config.Config`.

    Pictures are paths, PIL images, arrays or tensors. `painting` may also be a `styles.Style`, which has a weight and a
    scale, or a list of pictures and Styles. `style_loss` is a name, a StyleLoss, or a mapping of either to
    weights. Callbacks get a `Step` after each evaluation. A run with a `checkpoint.Checkpoint` survives its
    end. What cannot be done raises a ValueError or OSError of one line.

    >>> stylize("photo.jpg", "painting.jpg", style_loss="mmd-gaussian").image.save("out.png")  # doctest: +SKIP
    """
    if checkpoint is None:
        return prepare(photo, painting, **options).run(callbacks)
    return prepare(photo, painting, **checkpoint.choices(options)).run(callbacks, checkpoint)


def prepare(photo: Source, painting: Any, *, tileable: bool = False, **options: Any) -> "Job":
    """Read the pictures, load the network, check that all fits; nothing is optimised yet.

    `tileable`: the result will be put beside itself (see texture.py).
    """
    known = [field.name for field in fields(Config)]
    for option in options:
        if option not in known:
            raise UnknownName(f"no option '{option}'; there are {', '.join(known)}")
    config = replace(DEFAULTS, **options)
    if config.threads is not None:
        devices.use_threads(config.threads)
    if not -(2**63) <= config.seed < 2**63:
        raise ValueError(f"seed {config.seed}; wanted a whole number of 64 bits")
    color.check_colour(config.colour)
    device = processes.own(devices.choose(config.device))
    photo = picture_of(photo, max_pixels=config.max_pixels)
    styles = placed(gather(painting, config.max_pixels), photo.image)
    asked = {"padding": config.padding, "preprocessing": config.preprocessing}
    asked = {option: value for option, value in asked.items() if value is not None}
    network = catalog.load("networks", config.network, weights=config.weights, pooling=config.pooling, **asked)
    optimizer, starter = optimizer_of(config), starts.starter(config.init)
    objective = objective_of(config, styles, tileable=tileable)
    precision = processes.agreed(_precision(config, styles, network.to(device), objective.layers))
    network = network.to(devices.PRECISIONS[precision])
    job = Job(
        config, photo, styles, network, optimizer, objective, device, precision, starter and starter.to(device),
        network.around() if tileable else None,
    )  # fmt: skip
    job.check()
    return job.in_tiles()


@dataclass(frozen=True)
class Job:
    """Everything that a run needs, resolved."""

    config: Config
    photo: Picture
    styles: tuple[Style, ...]  # read, with weights that sum to 1
    network: Network
    optimizer: Optimizer
    objective: Objective
    device: torch.device
    precision: str  # of the network: fp32 or bf16
    starter: FeedForward | None = None  # paints the beginning, at the final size
    around: VGG | None = None  # what a tileable picture is seen through, with every edge joined to the opposite one
    start: Image | None = None  # the beginning itself, at the final size
    tile_px: int | None = None  # what the network sees at a time; None: everything

    @property
    def painting(self) -> Picture:
        """The picture of the style, of several the first."""
        return self.styles[0].picture

    @property
    def eyes(self) -> Network:
        """What the result is seen through."""
        return self.network if self.around is None else self.around

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
        single = single or self.config.strength == 0
        while not single and (half := sizes[0] // 2) >= self.config.smallest_px and self.fits(half):
            sizes.insert(0, half)
        return tuple(sizes)

    @property
    def budgets(self) -> dict[int, int]:
        """Evaluations by size. Where a larger one follows half of them do: see docs/performance.md."""
        *coarse, final = self.sizes
        return dict.fromkeys(coarse, max(2, self.config.evaluations // 2)) | {final: self.config.evaluations}

    def of(self, photo: Picture, painting: Picture) -> "Job":
        """The same of other pictures, the network and all else as it is. Of several styles the first is replaced.

        Raises ValueError if they are too small.
        """
        first, *rest = self.styles
        job = replace(self, photo=photo, styles=(replace(first, picture=painting), *rest))
        job.check()
        return job.in_tiles()

    def following(self, before: Image, trust: Tensor, weight: float, evaluations: int) -> "Job":
        """The job of the next frame of a clip: from the last painting, warped, and held there where `trust` has it."""
        wanted = self.objective + weight * steadiness(before, trust) if weight > 0 and trust.any() else self.objective
        return replace(self, objective=wanted, start=before, config=replace(self.config, evaluations=evaluations))

    def describe(self) -> str:
        """One line for a person: device, network, sizes, losses."""
        source = getattr(self.network, "source", self.network.name)
        sizes = " -> ".join(str(size) for size in self.sizes)
        groups = " + ".join(dict.fromkeys(term.group for term in self.objective.terms))
        tiles = "" if self.tile_px is None else f" in tiles of {self.tile_px} px"
        network = f"network {source} in {self.precision}"
        memory = said(self.optimizer, self._bytes(self.size_px))
        parts = (f"device {devices.describe(self.device)}", network, f"{sizes} px{tiles}", groups, memory)
        return ", ".join(part for part in parts if part)

    def _bytes(self, size_px: int) -> int:
        """Of a picture at this size, in 32 bits."""
        height, width = shape_at(self.photo.image, size_px)
        return tiling.IMAGE_BYTES * height * width

    def check(self) -> None:
        """Raises ValueError if the pictures are too small for the deepest layer at the final size, or far too large."""
        need = self.network.minimum_px(self.objective.layers)
        for name, picture, size_px in self._pictures(self.size_px):
            height, width = shape_at(picture.image, size_px)
            if height * width > self.config.max_pixels:
                raise ValueError(
                    f"the {name} would have {width:,} x {height:,} pixels; the limit is {self.config.max_pixels:,}: "
                    f"choose a smaller size or --style-scale, or raise it with --max-pixels"
                )
            if min(height, width) < need:
                raise ValueError(
                    f"the {name} is {width} x {height} px at this size; {self.network.name} needs {need} px a side for "
                    f"these layers: choose a larger size, or shallower layers"
                )

        if not self._joins(self.size_px):
            height, width = shape_at(self.photo.image, self.size_px)
            raise ValueError(
                f"a tile of {width} x {height} px; for these layers its sides are multiples of {self._step}"
            )

    def in_tiles(self) -> "Job":
        """The same with the tiles that its configuration asks for; auto goes by the memory that is free."""
        shape = shape_at(self.photo.image, self.size_px)
        tile_px = tiling.chosen(self.config.tile, self.eyes, self.objective.layers, shape, self.device)
        return replace(self, tile_px=processes.agreed(tile_px))

    @property
    def _step(self) -> int:
        """What the sides of a tile are multiples of, so that its edges meet at every layer."""
        assert self.around is not None
        return self.around.stride_px(self.objective.layers)

    def _joins(self, size_px: int) -> bool:
        """Whether a tile's edges meet at this size, and the final size is so many times as large both ways."""
        if self.around is None:
            return True
        times = self.size_px // size_px
        sides, final = (shape_at(self.photo.image, size) for size in (size_px, self.size_px))
        return all(side % self._step == 0 and side * times == whole for side, whole in zip(sides, final, strict=True))

    def fits(self, size_px: int) -> bool:
        """Whether a picture of this size can be seen at the deepest layer."""
        need = self.network.minimum_px(self.objective.layers)
        return self._joins(size_px) and all(
            min(shape_at(picture.image, s)) >= need for _, picture, s in self._pictures(size_px)
        )

    def _pictures(self, size_px: int) -> tuple[tuple[str, Picture, int], ...]:
        scale, several = self.config.style_scale, len(self.styles) > 1
        paintings = (
            (f"painting {i}" if several else "painting", style.picture, style.size_px(size_px, scale))
            for i, style in enumerate(self.styles, start=1)
        )
        return ("photo", self.photo, size_px), *paintings

    def _paintings(self, photo: Image) -> list[Image]:
        """The styles' pictures for a photo at its size, in the colours that are asked for."""
        sized = (style.at(longest(photo), self.config.style_scale, self.device) for style in self.styles)
        return [color.before(self.config.colour, painting, photo) for painting in sized]

    def run(self, callbacks: Sequence[Callback] = (), checkpoint: Checkpoint | None = None) -> Result:
        """Coarse to fine. Ctrl-C, and want of memory, deliver the best picture so far, enlarged to the final size.

        With a checkpoint that resumes, the callbacks see what comes after it. Made with other options or pictures, it
        raises ValueError; without memory for the first size, MemoryError.
        """
        keeper = None if checkpoint is None else Keeper(checkpoint, processes.agreed(facts_of(self)))
        trace, notes = (Trace(), list[str]()) if keeper is None else (keeper.trace, keeper.notes)
        image, solution = None, None
        try:
            for place, size_px in enumerate(self.sizes):
                if keeper is not None and keeper.is_past(place):
                    continue
                standing = None if keeper is None else keeper.standing(place)
                at_rest = partial(keeper.keep, place) if keeper is not None and processes.leads() else None
                solution = self._run_size(image, size_px, [trace, *callbacks], at_rest, standing)
                image = processes.first(solution.image)
                trace.settle()
                notes += told(solution, size_px)
                if solution.reason in ("interrupted", "memory"):
                    break
                log.debug("%d px: %s after %d evaluations", size_px, solution.reason, solution.evaluations)
        except KeyboardInterrupt:
            if solution is None:
                raise
            solution = replace(solution, reason="interrupted")
        except (MemoryError, RuntimeError) as error:
            solution = without_memory(error, size_px, solution)
            notes += told(solution, size_px)
        if solution is None:
            raise ValueError("the checkpoint is of a size that this run does not have; remove it to begin anew")
        return self._result(solution, trace, notes)

    def _run_size(
        self,
        before: Image | None,
        size_px: int,
        callbacks: Sequence[Callback],
        at_rest: AtRest | None,
        standing: Frozen | None,
    ) -> Any:
        """From the picture of the size before. Of large ones few are held: no frame here has the photo or the start."""
        apart = nullcontext() if self.tile_px is None else devices.large_tensors_apart(self._bytes(size_px))
        with apart:
            network, objective = self._problem(size_px)
            solution = optimize(
                self._begun(before, size_px, network, standing),
                network,
                objective,
                self.optimizer if size_px == self.size_px else self.optimizer.drafting(),
                evaluations=self.budgets[size_px],
                callbacks=callbacks,
                tolerance=self.config.tolerance,
                at_rest=at_rest,
                standing=standing,
            )
        return replace(solution, image=network.compose(solution.image)) if isinstance(network, Kept) else solution

    def _problem(self, size_px: int) -> tuple[Network, Fitted]:
        """What is minimised at a size, and what the picture is seen through."""
        photo = self._photo(size_px)
        paintings, network = self._paintings(photo), tiling.tiled(self.eyes, self.tile_px, photo)
        shares = amounts(self.styles, photo)
        layers = self.objective.layers_of(style=False) if shares is None else self.objective.layers  # masks need all
        features = tiling.look(network, photo, layers)
        looks = [
            tiling.look(tiling.tiled(self.network, self.tile_px, painting), painting, layers)
            for i, painting in enumerate(paintings)
            for layers in [self.objective.layers_of(style=True, of=i)]
        ]
        places = regions(self.styles, photo, features, paintings, looks, self.network)
        objective = self.objective.fit(features, *looks, regions=places)
        del features, looks, paintings  # what is needed of them is in the objective
        if isinstance(network, tiling.Tiled):
            objective, network = tiling.by_means(objective, network)
        if self.config.content_weight is None and self.config.style_weight is None:
            objective = balanced(objective, network, photo, self.config.seed)
        return network if shares is None else Kept(network, photo, torch.stack(shares).sum(0)), objective

    def _photo(self, size_px: int) -> Image:
        return resize(self.photo.image.to(self.device), size_px)

    def _begun(self, before: Image | None, size_px: int, network: Network, standing: Frozen | None) -> Image:
        """Where a size begins: where a run of it stood, the picture of the size before, or the very beginning."""
        if standing is not None:
            return standing.tensors["best"].to(self.device)
        photo = self._photo(size_px)
        if before is None:
            image = self._first(photo)
        elif self.around is not None:
            image = starts.enlarged_around(before, photo.shape[3])
        elif self.config.init == "content":
            image = starts.enlarged_upon(photo, before, self._photo(longest(before)))
        else:
            image = resize_to(before, photo.shape[2:])
        return network.compose(image) if isinstance(network, Kept) else image

    def _first(self, photo: Image) -> Image:
        if self.start is not None:
            return resize_to(self.start.to(photo), photo.shape[2:])
        if self.starter is not None:
            return starts.painted(self.starter, photo, self.styles, self._paintings(photo))
        return starts.first(self.config, photo, self.styles)

    def picture_of(self, image: Image) -> Pillow.Image:
        """The picture that an image at any size would be delivered as."""
        return to_pil(*self._finished(image))

    def _finished(self, image: Image) -> tuple[Image, Tensor | None]:
        """At the final size, in the colours that are asked for, with the photo's transparency."""
        photo = resize(self.photo.image.to(image), self.size_px)
        pixels = color.after(self.config.colour, resize_to(image, photo.shape[2:]), photo)
        return pixels, None if self.photo.alpha is None else resize_to(self.photo.alpha.to(pixels), photo.shape[2:])

    def _result(self, solution: Any, trace: Trace, notes: Sequence[str]) -> Result:
        pixels, alpha = self._finished(solution.image)
        rows, seconds = tuple(trace.rows), trace.seconds()
        return Result(
            to_pil(pixels, alpha), pixels, solution.loss, solution.reason, len(rows), seconds, rows, tuple(notes)
        )


def _precision(config: Config, styles: Sequence[Style], network: Network, layers: tuple[str, ...]) -> str:
    """What the network convolves in; a loss may ask for 32 bits, and gets them unless the user says otherwise."""
    asked = "fp32" if config.precision == "auto" and needs_32_bits(config, styles) else config.precision
    return devices.precision(asked, network, layers)
