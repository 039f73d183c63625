"""Model options as people type them."""

import pytest
from hypothesis import given, settings, strategies as st

from runner.cli.option_words import option_named, options_of
from runner.domain.options import OPTION_SPECS
from runner.errors import InvalidRequest


@pytest.mark.parametrize(
    ("pairs", "values"),
    [
        ([("temperature", "0.2")], {"temperature": 0.2}),
        ([("temperature", "1")], {"temperature": 1.0}),
        ([("num_ctx", "8192")], {"num_ctx": 8192}),
        ([("seed", "-1")], {"seed": -1}),
        ([("ignore_eos", "True")], {"ignore_eos": True}),
        ([("speculate", "on"), ("speculate", "off")], {"speculate": "off"}),
        ([("stop", "1"), ("stop", "b")], {"stop": ("1", "b")}),
        ([("top_k", "1"), ("top_k", "2")], {"top_k": 2}),
    ],
)
def test_values_take_the_type_of_their_option(pairs, values):
    assert options_of(pairs).set_values() == values


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        (("temprature", "1"), "unknown model option 'temprature'"),
        (("temperature", "warm"), "^temperature must be a number from 0 to 100, not 'warm'$"),
        (("temperature", "nan"), "must be a number from 0 to 100, not 'nan'"),
        (("top_p", "2"), "^top_p must be a number from 0 to 1, not '2'$"),
        (("num_ctx", "1.5"), "must be a whole number from 1 to 16777216, not '1.5'"),
        (("num_ctx", "inf"), "must be"),
        (("speculate", "much"), "^speculate must be auto, on or off, not 'much'$"),
        (("ignore_eos", "1"), "^ignore_eos must be true or false, not '1'$"),
        (("top_k", "true"), "must be a whole number"),
        (("seed", "x"), "^seed must be a whole number of 64 bits, not 'x'$"),
    ],
)
def test_what_an_option_cannot_be_is_refused(pair, words):
    with pytest.raises(InvalidRequest, match=words):
        options_of([pair])


def test_a_mistyped_option_gets_a_suggestion():
    with pytest.raises(InvalidRequest) as caught:
        options_of([("temprature", "1")])
    assert caught.value.hint == "did you mean 'temperature'?\nall options: corral run --help"


@pytest.mark.parametrize(
    ("word", "name"),
    [("max_tokens", "num_predict"), ("num-ctx", "num_ctx"), ("Temp", "temperature")],
)
def test_an_option_of_another_program_is_answered_with_ours(word, name):
    with pytest.raises(InvalidRequest) as caught:
        options_of([(word, "1")])
    assert caught.value.hint.startswith(f"did you mean '{name}'?\n")


def test_what_options_are_called_elsewhere_names_one_that_there_is_here():
    assert {option_named(name) for name in OPTION_SPECS} == {*OPTION_SPECS}
    assert option_named("--ctx-size") == "num_ctx" and option_named("--gpu") == "num_gpu"
    assert option_named("zzz") == ""


def test_an_option_like_nothing_gets_the_place_where_all_are_listed():
    with pytest.raises(InvalidRequest) as caught:
        options_of([("zzz", "1")])
    assert caught.value.hint == "all options: corral run --help"


@settings(deadline=None)  # a busy machine is no failure
@given(st.sampled_from(sorted(OPTION_SPECS)) | st.text(max_size=8), st.text(max_size=12))
def test_any_words_give_an_option_or_a_known_error(name, text):
    try:
        values = options_of([(name, text)]).set_values()
    except InvalidRequest:
        return
    assert set(values) <= {name}
