"""Presets and files of options: what is stronger, what is refused, and that a dump is what it was made of."""

import math
import subprocess
import sys

import pytest

from gatys_lab import cli, job, presets
from gatys_lab.cli import stylize
from gatys_lab.config import DEFAULTS, Config
from gatys_lab.errors import UnknownName
from gatys_lab.job import prepare
from gatys_lab.specs import LossSpec, layers_text, loss_text, parse_layers, parse_loss, parse_name


@pytest.fixture
def effective(photo, painting, tmp_path, capsys, monkeypatch):
    """The configuration that arguments lead to."""

    def run(*arguments) -> Config:
        seen = []
        monkeypatch.setattr("gatys_lab.job.prepare", lambda *given, **options: seen.append(options) or 1 / 0)
        with pytest.raises(SystemExit):
            cli.main(["stylize", str(photo), str(painting), "-o", str(tmp_path / "o.png"), *map(str, arguments)])
        assert seen, capsys.readouterr().err
        return Config(**seen[0])

    return run


@pytest.fixture
def file(tmp_path):
    def write(text):
        (tmp_path / "my.toml").write_text(text)
        return tmp_path / "my.toml"

    return write


@pytest.mark.parametrize("name", presets.names())
def test_every_preset_can_be_prepared(photo, painting, name):
    options = presets.load(name)
    if options.pop("network", "lite") != "lite":  # its weights need not be here
        options.pop("style_layers"), options.pop("content_layers")
    assert prepare(photo, painting, **options).sizes[-1] == 90


def test_the_command_line_beats_the_config_the_config_the_preset_the_preset_the_defaults(effective, file):
    config = file('evaluations = 33\ntv = 0.5\nstyle-loss = ["bn:2", "mmd-poly,degree=1"]\n')
    found = effective("--preset", "fine", "--config", config, "--tv", ".7")
    assert (found.seed, found.size_px, found.evaluations, found.tv) == (DEFAULTS.seed, 1024, 33, 0.7)
    assert found.style_loss == (LossSpec("bn", 2.0), LossSpec("mmd-poly", 1.0, {"degree": 1}))
    assert effective("--config", config, "--preset", "fine", "--tv", ".7") == found  # in whatever order
    assert effective("--config", config, "--style-loss", "gram").style_loss == (LossSpec("gram"),)
    assert effective("--preset", "default") == effective()


def test_a_weight_drops_weaker_ones_of_the_other_kind(effective, file):
    by_preset = effective("--preset", "neural-style")
    assert (by_preset.style_weight, by_preset.content_weight, by_preset.tv) == (100, 5, 151e3)
    for weight in (["--balance", "9"], ["--config", file("balance = 9")]):
        found = effective("--preset", "neural-style", *weight)
        assert (found.balance, found.style_weight, found.content_weight, found.tv) == (9, None, None, None)
    found = effective("--config", file("strength = 0.3\ntv = 1"), "--style-weight", "7")
    assert (found.strength, found.style_weight, found.tv) == (None, 7, None)
    assert effective("--preset", "poster", "--strength", ".3").balance == 25
    assert effective("--preset", "neural-style", "--content-weight", "2").tv == 151e3


def test_a_dump_is_what_it_was_made_of(effective, file, capsys):
    words = ["--preset", "sketch", "--size", "300", "--style-loss", "mmd-gaussian:.3,unbiased=true,estimator=exact"]
    words += ["--tv", "1e-7", "--single-scale", "--style-scale", "0.1", "--style-layers", "relu1_1:.1,relu2_1"]
    with pytest.raises(SystemExit) as done:
        cli.main(["stylize", *words, "--dump-config"])  # without pictures
    text = capsys.readouterr().out
    assert done.value.code == 0 and 'colour = "luma"' in text and "strength" not in text
    assert effective("--config", file(text)) == effective(*words)


def test_from_python_by_the_same_words(photo, painting, file):
    options = presets.read(file('size = 70\nstyle-loss = "bn"\nstyle-layers = "relu1_1:2"\nsingle-scale = true\n'))
    found = prepare(photo, painting, **presets.merge(presets.load("poster"), options))
    assert (found.sizes, found.config.balance) == ((70,), 25)
    first = found.objective.terms[0]
    assert (first.group, first.layer) == ("bn", "relu1_1")


def test_what_can_be_in_a_file_is_what_the_command_line_and_the_configuration_have():
    assert set(presets.KEYS.values()) == set(Config.__dataclass_fields__)
    typed = {option.name: option.opts[-1].removeprefix("--") for option in stylize.command.params}
    assert {typed[field]: field for field in Config.__dataclass_fields__} == presets.KEYS


BAD = {
    "sise = 3": "no option 'sise' in '{path}'; there are size",
    'size = "big"': "size = \"big\" in '{path}'; wanted a whole number",
    "size = 51.5": "wanted a whole number",
    "size = true": "wanted a whole number",
    "size = [512]": "wanted a whole number",
    "size = 1979-05-27": "wanted a whole number",
    "size = 0": "--size",
    "single-scale = 1": "wanted true or false",
    "network = 3": "wanted a text in quotes",
    "style-loss = [3]": "wanted a text in quotes",
    'style-loss = "gram:-1"': "style-loss in '{path}': the weight of gram is -1",
    'style-layers = "relu1_1,relu1_1"': "twice",
    'style-layers = "relu9_9"': "no layer 'relu9_9'",
    "tv = nan": "tv",
    "balance = -3": "balance",
    "balance = 3\nstyle-weight = 2": "--balance excludes --style-weight",
    "[size]\nx = 3": "wanted a whole number",
    "size = ": "no TOML file",
}


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_file_of_options_is_said_in_one_line(photo, painting, file, tmp_path, capsys, text):
    path = file(text)
    with pytest.raises(SystemExit) as done:
        cli.main(["stylize", str(photo), str(painting), "-o", str(tmp_path / "o.png"), "--config", str(path)])
    lines = capsys.readouterr().err.splitlines()
    assert done.value.code in (1, 2) and len(lines) == 1 and BAD[text].format(path=path) in lines[0]


def test_a_file_that_is_no_text_and_an_unknown_preset(file, tmp_path):
    (tmp_path / "my.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="is no TOML file"):
        presets.read(tmp_path / "my.toml")
    with pytest.raises(UnknownName, match="no preset 'hue'; there are default, fast"):
        presets.load("hue")


@pytest.mark.parametrize("text", ["gram", "mmd-poly:0.5,degree=3,c=0.1", "my_loss.py:1e-09,flag=True,word=x"])
def test_specs_are_written_as_they_are_read(text):
    assert parse_loss(loss_text(parse_loss(text))) == parse_loss(text)
    layers = {"relu1_1": 9.765625e-4, "relu2_1": 1 / 3, "input": 1.0}
    assert parse_layers(layers_text(layers)) == layers
    with pytest.raises(ValueError, match="'adam:2' has a weight, which means nothing here"):
        parse_name("adam:2")


def test_neural_styles_losses_in_our_units():
    """neural-style-pt: sum over layers of 100 * MSE(F F'/(N M), S S'/(N M)); ours: |F F'/M - S S'/M|^2 / (4 N^2)."""
    layers = presets.load("neural-style")["style_layers"]
    for (layer, weight), channels in zip(layers.items(), (64, 128, 256, 512, 512), strict=True):
        distance = 7.0  # |F F'/M - S S'/M|^2
        theirs, ours = distance / channels**2 / channels**2, weight * distance / (4 * channels**2)
        assert math.isclose(theirs, ours), layer


def test_presets_import_no_torch():
    code = "import sys; from gatys_lab import presets; presets.load('fine'); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_options_reach_the_optimizer(photo, painting):
    assert prepare(photo, painting, optimizer="lbfgs,history=100").optimizer.history == 100
    with pytest.raises(UnknownName, match="lbfgs has no option 'speed'"):
        job.prepare(photo, painting, optimizer="lbfgs,speed=3")
