"""The notebooks of examples/: executed as they are shipped, small, and executed again at a tiny size."""

import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent.parent / "examples"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def outputs(notebook: dict) -> list[dict]:
    return [output for cell in notebook["cells"] for output in cell.get("outputs", [])]


def pictures(notebook: dict) -> int:
    return sum(any(kind.startswith("image/") for kind in output.get("data", {})) for output in outputs(notebook))


def test_there_are_notebooks() -> None:
    assert [path.name[:2] for path in NOTEBOOKS] == ["01", "02", "03", "04", "05"]


@every_notebook
def test_shipped_with_its_outputs_and_small(path: Path) -> None:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    counts = [cell["execution_count"] for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1))  # from top to bottom, in one go
    kinds = [output["output_type"] for output in outputs(notebook)]
    assert "error" not in kinds and pictures(notebook) >= 2
    assert path.stat().st_size < 1_000_000
    assert str(FOLDER.parent) not in path.read_text(encoding="utf-8")  # no path of the machine it was made on


@every_notebook
def test_runs_at_a_tiny_size(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("nbclient", "ipykernel", "matplotlib"):
        pytest.importorskip(name, reason=f'{name} is missing: pip install "gatys_lab[notebooks]"')
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("GATYS_LAB_NOTEBOOK_PX", "48")
    monkeypatch.setenv("GATYS_LAB_NOTEBOOK_EVALUATIONS", "3")
    monkeypatch.setenv("PYTHONPATH", str(FOLDER.parent))
    monkeypatch.setenv("GATYS_LAB_NOTEBOOK_STARTS", "2")
    notebook = nbformat.read(path, as_version=4)
    shown = pictures(notebook)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(FOLDER)}}).execute()
    assert pictures(notebook) == shown
