"""Options: types, ranges, layers."""

import json
from dataclasses import fields

import pytest
from hypothesis import given, strategies as st

from runner.domain.options import (
    MAX_SEED,
    OPTION_SPECS,
    Options,
    SamplingParams,
    literal,
    parse_option,
    parse_options,
)
from runner.errors import InvalidRequest

JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
LAYERS = st.builds(
    Options,
    temperature=st.none() | st.floats(0, 2),
    top_k=st.none() | st.integers(0, 100),
    seed=st.none() | st.integers(-5, 5),
    stop=st.none() | st.lists(st.text(), max_size=2).map(tuple),
)


def test_every_option_has_its_limits():
    assert set(OPTION_SPECS) == {field.name for field in fields(Options)}


def test_every_sampling_parameter_can_be_set():
    assert {field.name for field in fields(SamplingParams)} <= set(OPTION_SPECS)


def test_every_default_is_within_its_limits():
    for field in fields(SamplingParams):
        if field.default is not None:
            assert parse_option(field.name, field.default) == field.default


@given(st.dictionaries(st.sampled_from(sorted(OPTION_SPECS)), JSON))
def test_whatever_is_sent_gives_options_in_range_or_names_the_fault(raw):
    try:
        options = parse_options(raw)
    except InvalidRequest as error:
        assert error.param in raw
        assert error.param in error.message
        return
    for name, value in options.set_values().items():
        spec = OPTION_SPECS[name]
        if spec.kind is str:
            assert all(isinstance(text, str) and text for text in value)
            continue
        if spec.kind is dict:
            assert all(spec.low <= bias <= spec.high for _, bias in value)
            continue
        assert isinstance(value, spec.kind)
        assert spec.low <= value <= spec.high
    options.sampling()


#: A span of time has no range: what is negative, or too long, means for ever.
NUMBERS = [n for n, s in OPTION_SPECS.items() if s.kind in (int, float) and n != "keep_alive"]


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_just_out_of_range_is_refused_with_the_range(name):
    spec = OPTION_SPECS[name]
    for value in (spec.low - 1, spec.high * 2 + 1, 10**400, -(10**400)):
        with pytest.raises(InvalidRequest) as caught:
            parse_option(name, int(value))
        assert f"{name} must be in [{spec.low}, {spec.high}]" in caught.value.message
    assert parse_option(name, spec.low) == spec.low


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("temperature", "hot", "float32"),
        ("temperature", True, "float32"),
        ("top_k", 1.5, "integer"),
        ("top_k", [], "integer"),
        ("top_k", json.loads("NaN"), "integer"),
        ("use_mmap", 1, "boolean"),
        ("ignore_eos", "yes", "boolean"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_in_the_words_of_the_api(name, value, word):
    with pytest.raises(InvalidRequest) as caught:
        parse_options({name: value})
    assert caught.value.message == f'option "{name}" must be of type {word}'
    assert caught.value.param == name


@pytest.mark.parametrize("value", [3, ["a", 3], {"a": 1}, [["a"]]])
def test_stop_is_text_or_a_list_of_texts(value):
    with pytest.raises(InvalidRequest, match="stop"):
        parse_options({"stop": value})


def test_empty_stop_strings_stop_nothing():
    assert parse_options({"stop": ["", "a"]}).stop == ("a",)
    assert parse_options({"stop": ""}).stop == ()


def test_unknown_names_and_nulls_are_left_out():
    assert parse_options({"numa": True, "top_k": None}) == Options()


def test_whole_floats_are_integers_where_integers_are_meant():
    options = parse_options({"top_k": 40.0, "temperature": 1})
    assert (options.top_k, options.temperature) == (40, 1.0)
    assert isinstance(options.top_k, int)
    assert isinstance(options.temperature, float)


@given(LAYERS, LAYERS)
def test_a_layer_wins_where_it_speaks(over, base):
    merged = over.over(base)
    for field in fields(Options):
        mine = getattr(over, field.name)
        expected = getattr(base, field.name) if mine is None else mine
        assert getattr(merged, field.name) == expected


@given(LAYERS, LAYERS, LAYERS)
def test_it_does_not_matter_which_layers_are_laid_first(top, middle, base):
    assert top.over(middle).over(base) == top.over(middle.over(base))


@given(st.integers(-(2**63), 2**63 - 1))
def test_any_seed_becomes_one_that_the_engine_can_take(seed):
    found = parse_options({"seed": seed}).sampling().seed
    if seed < 0:
        assert found is None
    else:
        assert found is not None
        assert 0 <= found <= MAX_SEED
        assert found == seed % (MAX_SEED + 1)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("num_predict", -3, "num_predict must be in [-2, 2147483647], not -3"),
        ("num_ctx", 0, "num_ctx must be in [1, 16777216], not 0"),
        ("temperature", -0.5, "temperature must be in [0, 100], not -0.5"),
    ],
)
def test_a_range_is_told_with_every_digit(name, value, words):
    with pytest.raises(InvalidRequest) as caught:
        parse_option(name, value)
    assert caught.value.message == words


@given(st.integers() | st.floats(allow_nan=False) | st.booleans())
def test_what_is_typed_as_a_number_or_a_truth_is_that(value):
    typed = literal(f" {value} ")
    assert typed == value
    assert type(typed) is type(value)


@pytest.mark.parametrize("text", ["", "f16", "5m", "truth", "1,5", "0x10"])
def test_what_is_typed_as_anything_else_stays_text(text):
    assert literal(text) == text
