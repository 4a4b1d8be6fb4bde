import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatys_lab import specs
from gatys_lab.specs import LossSpec, parse_grid, parse_layers, parse_loss, parse_mixture, parse_point

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


def test_the_examples_run():
    failed, attempted = doctest.testmod(specs)
    assert not failed and attempted >= 7


def test_a_mixture_is_joined_by_plus_but_a_number_is_not_taken_apart():
    one, other = parse_mixture("mmd-gaussian:0.5,bandwidth=1e+2+mmd-poly,degree=3")
    assert one == LossSpec("mmd-gaussian", 0.5, {"bandwidth": 100.0})
    assert other == LossSpec("mmd-poly", 1.0, {"degree": 3})
    assert [str(one), str(other)] == ["0.5 mmd-gaussian bandwidth=100.0", "mmd-poly degree=3"]


@pytest.mark.parametrize("text", ["balance", "=1,2", "balance=", "balance=1,,2", "balance=1,1"])
def test_what_is_no_grid_is_said(text):
    with pytest.raises(ValueError, match=r"wanted KEY=VALUE|1 twice in 'balance=1,1'"):
        parse_grid(text)


@pytest.mark.parametrize("text", ["0.5", "a,b", "0.5,1.1", "-0.1,0", "0,0,0"])
def test_what_is_no_place_is_said(text):
    with pytest.raises(ValueError, match=f"'{text}' is no place; wanted X,Y"):
        parse_point(text)
