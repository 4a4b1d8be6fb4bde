import sys

import pytest
import torch
from test_models import a_model

from gatys_lab import cli
from gatys_lab.export import to_onnx
from gatys_lab.models import _files, adain


@pytest.mark.parametrize("norm", ["none", "colour", "style"])
def test_onnxruntime_paints_the_same_picture_at_any_size(tmp_path, capsys, norm):
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    model = a_model("adain", norm=norm)
    _files.save(model, tmp_path / "adain.safetensors", {"norm": norm})
    arguments = ["export", "adain", "-o", str(tmp_path / "m.onnx"), "--weights", str(tmp_path / "adain.safetensors")]
    with pytest.raises(SystemExit) as done:
        cli.main(arguments)
    assert not done.value.code, capsys.readouterr().err
    model = adain.build(tmp_path / "adain.safetensors")
    session = runtime.InferenceSession(str(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
    for height, width, alpha in ((72, 88, 1.0), (65, 101, 0.4), (200, 33, 0.0)):
        content, style = torch.rand(1, 3, height, width), torch.rand(1, 3, width, height + 7)
        feeds = {"content": content.numpy(), "style": style.numpy(), "alpha": torch.tensor(alpha).numpy()}
        found = torch.from_numpy(session.run(None, feeds)[0])
        wanted = model(content, model.style_of(style), alpha).detach()
        torch.testing.assert_close(found, wanted, atol=1e-3, rtol=0)
        assert wanted.std() > 0.02


def test_without_its_packages_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ValueError, match=r"pip install \"gatys-lab\[onnx\]\""):
        to_onnx(a_model("adain"), tmp_path / "m.onnx")
