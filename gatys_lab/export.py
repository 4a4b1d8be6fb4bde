"""A feed-forward model as ONNX, for other runtimes: pictures in, picture out, encoder included.

Inputs `content` (1, 3, H, W) and `style` (1, 3, h, w), sRGB in [0, 1], of any size, and `alpha` (); output `picture`
(1, 3, H, W). Needs the packages onnx and onnxscript (`pip install "gatys-lab[onnx]"`).
"""

import copy
import io
from pathlib import Path

import torch
from torch import Tensor, nn

from gatys_lab.files import check_target, write_whole
from gatys_lab.models._base import Shares
from gatys_lab.models.adain import AdaIN

OPSET = 18


class _Whole(nn.Module):
    """Content and style in, picture out: what `model(content, model.style_of(style), alpha)` does."""

    def __init__(self, model: AdaIN) -> None:
        super().__init__()
        self.model = model

    def forward(self, content: Tensor, style: Tensor, alpha: Tensor) -> Tensor:
        look = self.model.summarise(self.model.encoder(style, self.model.layers), None)
        seen = self.model.encoder(content, self.model.layers)
        picture = self.model.decode(seen, [look], Shares([1.0], None), alpha)
        return picture[:, :, : content.shape[2], : content.shape[3]].clamp(0, 1)


def to_onnx(model: AdaIN, path: str | Path) -> None:
    """Write the model whole or not at all. Raises ValueError where the exporter's packages are not installed."""
    try:
        import onnx
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ValueError(f'exporting wants the package {error.name}: pip install "gatys-lab[onnx]"') from error
    if not hasattr(torch.export, "Dim") or not hasattr(torch.export.Dim, "DYNAMIC"):
        raise ValueError(f"torch {torch.__version__} cannot export pictures of any size; wanted 2.6 or newer")
    if model.concatenates:
        raise ValueError("the ablation concat is not exported; wanted AdaIN itself")
    check_target(Path(path), ".onnx")
    free = {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    examples = torch.rand(1, 3, 72, 88), torch.rand(1, 3, 56, 104), torch.tensor(1.0)
    program = torch.onnx.export(
        _Whole(copy.deepcopy(model).cpu().float()).eval(),
        examples,
        input_names=["content", "style", "alpha"],
        output_names=["picture"],
        dynamic_shapes={"content": free, "style": free, "alpha": None},
        opset_version=OPSET,
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    buffer = io.BytesIO()
    onnx.save(program.model_proto, buffer)
    write_whole(Path(path), buffer.getbuffer())
