"""Model options as people type them."""

import pytest
from hypothesis import given, settings, strategies as st

from runner.cli.option_words import options_of
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
        ([("stop", "1"), ("stop", "b")], {"stop": ("1", "b")}),
        ([("top_k", "1"), ("top_k", "2")], {"top_k": 2}),
    ],
)
def test_values_take_the_type_of_their_option(pairs, values):
    assert options_of(pairs).set_values() == values


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        (("temprature", "1"), "unknown option 'temprature'"),
        (("temperature", "warm"), "must be of type float32"),
        (("temperature", "nan"), "must be in"),
        (("top_p", "2"), "must be in"),
        (("num_ctx", "1.5"), "must be of type integer"),
        (("num_ctx", "inf"), "must be"),
        (("ignore_eos", "1"), "must be of type boolean"),
        (("top_k", "true"), "must be of type integer"),
    ],
)
def test_what_an_option_cannot_be_is_refused(pair, words):
    with pytest.raises(InvalidRequest, match=words):
        options_of([pair])


def test_a_mistyped_option_gets_a_suggestion():
    with pytest.raises(InvalidRequest) as caught:
        options_of([("temprature", "1")])
    assert caught.value.hint == "did you mean 'temperature'?"


@settings(deadline=None)  # a busy machine is no failure
@given(st.sampled_from(sorted(OPTION_SPECS)) | st.text(max_size=8), st.text(max_size=12))
def test_any_words_give_an_option_or_a_known_error(name, text):
    try:
        values = options_of([(name, text)]).set_values()
    except InvalidRequest:
        return
    assert set(values) <= {name}
