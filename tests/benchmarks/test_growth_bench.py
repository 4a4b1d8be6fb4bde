"""growth.py keeps what it measured and measures the rest; what it measures, at a size that is soon done."""

import subprocess
from dataclasses import replace

import growth
import pytest

GRAM = growth.Case("lite", "gram", 128, 1, "fp32")
FOUND = growth.Found(None, 0.5, 0.046, 0.75, None, 691, 567)


def test_what_is_kept_is_what_was_found(tmp_path):
    kept = {GRAM: FOUND, replace(GRAM, loss="bare"): replace(FOUND, begin_s=None), replace(GRAM, threads=2): FOUND}
    for case, found in kept.items():
        growth.add(tmp_path / "growth.csv", case, found)
    assert growth.rows(tmp_path / "growth.csv") == kept


def test_only_what_is_missing_is_measured_and_a_failure_is_no_row(tmp_path, monkeypatch, capsys):
    ran = []

    def killed(command, **_):
        ran.append(command[-1])
        return subprocess.CompletedProcess(command, -9, "", "MemoryError: too large\n")

    monkeypatch.setattr(subprocess, "run", killed)
    path = tmp_path / "growth.csv"
    growth.add(path, GRAM, FOUND)
    growth.measure_all(path, [replace(GRAM, size_px=2048), GRAM])
    assert len(ran) == 1 and "2048" in ran[0]
    assert list(growth.rows(path)) == [GRAM]
    assert "too large" in capsys.readouterr().out


def test_tables_and_a_plot(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    path, picture = tmp_path / "growth.csv", tmp_path / "growth.png"
    growth.add(path, GRAM, FOUND)
    growth.add(path, replace(GRAM, size_px=1024), replace(FOUND, evaluation_s=12.4, quarter_s=61.0))
    growth.main([str(path), "--sizes", "--plot", str(picture)])
    assert "| gram | 0.046, -, 691 | 12, 61, 691 |" in capsys.readouterr().out
    assert picture.stat().st_size > 10_000


@pytest.mark.benchmark
def test_a_small_picture(tmp_path):
    path = tmp_path / "growth.csv"
    growth.main([str(path), *["--sizes", "64", "--threads", "1", "--networks", "lite", "--losses", "bare", "gram"]])
    bare, gram = growth.rows(path).values()
    assert bare.evaluation_s > 0 and gram.begin_s > 0 and gram.quarter_s > gram.half_s > 0
    assert gram.peak_mib > gram.before_mib > 0
