import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatys_lab.specs import LossSpec, parse_layers, parse_loss

NAMES = st.from_regex(r"[a-z][a-z0-9_\-]{0,12}", fullmatch=True)
WEIGHTS = st.floats(0, 1e6)


@given(NAMES, WEIGHTS, st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.integers(0, 99), max_size=3))
def test_a_loss_is_read_back(name, weight, options):
    text = f"{name}:{weight!r}" + "".join(f",{key}={value}" for key, value in options.items())
    assert parse_loss(text) == LossSpec(name, weight, options)


@given(st.dictionaries(NAMES, WEIGHTS, min_size=1, max_size=4))
def test_layers_are_read_back(layers):
    assert parse_layers(",".join(f"{name}:{weight!r}" for name, weight in layers.items())) == layers


def test_values_are_numbers_truths_or_words():
    options = parse_loss("x,a=3,b=0.5,c=true,d=exact,some-key=1").options
    assert options == {"a": 3, "b": 0.5, "c": True, "d": "exact", "some_key": 1}
    assert [type(value) for value in options.values()] == [int, float, bool, str, int]


def test_a_windows_path_keeps_its_colon():
    assert parse_loss(r"C:\own.py").name == r"C:\own.py"
    assert parse_loss(r"C:\own.py:2") == LossSpec(r"C:\own.py", 2.0)


@pytest.mark.parametrize("text", ["gram:-1", "gram:nan", "gram:inf", "", ":2", "gram,degree", "gram,=2"])
def test_nonsense_is_refused(text):
    with pytest.raises(ValueError):
        parse_loss(text)


@pytest.mark.parametrize("text", ["relu1_1,relu1_1", "relu1_1,,relu2_1", "relu1_1:-2"])
def test_nonsense_layers_are_refused(text):
    with pytest.raises(ValueError):
        parse_layers(text)
