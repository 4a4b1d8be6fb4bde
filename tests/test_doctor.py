"""The doctor tells what is there, and notices what is broken."""

from dataclasses import replace

import pytest
import torch

from gatys_lab import cli, doctor


def run(*words):
    with pytest.raises(SystemExit) as done:
        cli.main(["doctor", *words])
    return done.value.code


def test_a_healthy_machine(capsys, monkeypatch):
    monkeypatch.delenv("GATYS_LAB_WEIGHTS", raising=False)
    assert run() == 0
    lines = capsys.readouterr().out.splitlines()
    for words in (f"torch              {torch.__version__}", "device             cpu", "ok  network lite       lite-1"):
        assert any(words in line for line in lines), words
    assert lines[-1].startswith("ok  self-test") and "the same pixels twice" in lines[-1]


def test_weights_that_are_not_there_or_damaged_are_told(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("GATYS_LAB_WEIGHTS", str(tmp_path / "none"))
    assert run() == 1
    assert "BAD weights of vgg19" in capsys.readouterr().out
    (tmp_path / "vgg19.pth").write_bytes(b"nothing")
    monkeypatch.setenv("GATYS_LAB_WEIGHTS", str(tmp_path))
    assert run() == 1
    assert "BAD weights of vgg19" in capsys.readouterr().out


def test_a_cache_that_cannot_be_written(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("GATYS_LAB_CACHE", str(tmp_path / "file" / "folder"))
    finding = doctor._cache()
    assert finding.fine is False and "GATYS_LAB_CACHE" in finding.text


def test_an_engine_that_does_not_descend_or_fails(monkeypatch):
    assert doctor._test().fine
    stylize = doctor.stylize

    def useless(*pictures, **options):
        result = stylize(*pictures, **options)
        return replace(result, loss=result.trace[0].total)

    monkeypatch.setattr(doctor, "stylize", useless)
    assert doctor._test().fine is False

    def other(*pictures, **options):
        result = stylize(*pictures, **options)
        return replace(result, pixels=torch.rand_like(result.pixels))

    monkeypatch.setattr(doctor, "stylize", other)
    assert doctor._test().fine is False and "not the same" in doctor._test().text

    def broken(*pictures, **options):
        raise RuntimeError("no kernel")

    monkeypatch.setattr(doctor, "stylize", broken)
    assert doctor._test().fine is False and "no kernel" in doctor._test().text


def test_what_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None if name == "av" else object())
    found = {}
    for finding in doctor.examine():
        found[finding.what] = finding.text
        if finding.what == "device":
            break
    assert "without av;" in found["extra [video]"] and found["extra [onnx]"] == "there"
