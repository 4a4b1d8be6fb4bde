"""Every default in one place. Frozen values; no torch here, so that `--help` is instant."""

from dataclasses import dataclass, field

STYLE_LAYERS = {"relu1_1": 1.0, "relu2_1": 1.0, "relu3_1": 1.0, "relu4_1": 1.0, "relu5_1": 1.0}
CONTENT_LAYERS = {"relu4_2": 1.0}
COMPARED = ("bn", "gram", "mmd-gaussian", "mmd-linear", "mmd-poly", "style-swap")  # unless the user names losses
PICTURES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")  # what is taken for a picture in a folder
OF_MANY = "{content}_stylized_{style}.png"  # the name of a picture in a batch
STARTS = ("content", "noise", "grey", "style")  # words for where a picture begins
BALANCED_TV = 0.3  # takes the speckle and leaves the strokes; looked at on 2 photos x 2 styles


@dataclass(frozen=True)
class Config:
    """What `stylize` does where the user says nothing. Sizes are of the longest side, in pixels."""

    size_px: int = 512  # never enlarges the photo
    style_scale: float = 1.0  # the style's longest side over the result's
    max_pixels: int = 178_000_000  # of a picture that is read: where Pillow itself refuses, rounded; 2 GB in float32
    colour: str | None = None  # linear, histogram, luma or chroma: see color.py
    network: str = "lite"
    weights: str | None = None
    pooling: str = "max"
    padding: str | None = None  # the weights' own
    preprocessing: str | None = None  # the weights' own
    style_loss: str = "gram"
    style_layers: dict[str, float] | None = None  # the loss's usual ones, else STYLE_LAYERS
    content_layers: dict[str, float] = field(default_factory=lambda: dict(CONTENT_LAYERS))
    balance: float = 5.0  # style over content in gradient norm; see objective.balanced
    strength: float | None = None  # 0 the photo, 1 the style alone; multiplies balance by strength / (1 - strength)
    content_weight: float | None = None  # raw weights, which exclude balance
    style_weight: float | None = None
    tv: float | None = None  # BALANCED_TV, or 0 among raw weights
    tv_kind: str = "l2"
    optimizer: str = "lbfgs"
    evaluations: int = 50  # at the final size; half as many at each coarser one
    single_scale: bool = False
    smallest_px: int = 128  # where coarse to fine begins
    tolerance: float | None = None
    init: str = "content"
    seed: int = 0
    threads: int | None = None
    device: str = "auto"
    precision: str = "auto"  # of the network's convolutions: fp32, bf16, or whichever this machine is faster at
    tile: str = "auto"  # the side in px of what the network sees at a time, or off; auto: off, if memory allows it


DEFAULTS = Config()
