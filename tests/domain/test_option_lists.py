"""Options that are lists: samplers, biases, texts."""

import json

import pytest
from hypothesis import given, strategies as st

from runner.domain.option_lists import DEFAULT_SAMPLERS, NEVER, SAMPLERS
from runner.domain.options import parse_options
from runner.errors import InvalidRequest

PAIRS = st.tuples(st.integers(0, 2**31 - 1) | st.text(min_size=1), st.floats(-100, 100))


@given(st.lists(st.sampled_from(sorted(SAMPLERS))))
def test_letters_and_names_mean_the_same(letters):
    names = tuple(SAMPLERS[letter] for letter in letters)
    for value in ("".join(letters), list(names), ";".join(names)):
        assert parse_options({"samplers": value}).samplers == names


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("typical_p", "typ_p"),
        ("Top-K", "top_k"),
        ("topnsigma", "top_n_sigma"),
        ("nucleus", "top_p"),
        ("temp", "temperature"),
        ("minp", "min_p"),
    ],
)
def test_other_spellings_of_llama_cpp_are_known(word, name):
    assert parse_options({"samplers": [word, "penalties"]}).samplers == (name, "penalties")


def test_the_default_order_is_that_of_llama_cpp():
    assert DEFAULT_SAMPLERS == (
        "penalties", "dry", "top_n_sigma", "top_k", "typ_p", "top_p", "min_p", "xtc", "temperature"
    )  # fmt: skip


@pytest.mark.parametrize("value", [["top_k", "magic"], "top_k;magic", ["magic"], "magic"])
def test_a_sampler_that_does_not_exist_is_named(value):
    with pytest.raises(InvalidRequest, match=r"there is no sampler '(magic|g)'") as caught:
        parse_options({"samplers": value})
    assert caught.value.param == "samplers"


@given(st.lists(PAIRS, max_size=5))
def test_biases_come_back_as_they_went(pairs):
    options = parse_options({"logit_bias": pairs})
    assert options.logit_bias == tuple(pairs)
    stored = json.loads(json.dumps(options.set_values()))
    assert parse_options(stored) == options
    assert parse_options({"logit_bias": json.dumps(pairs)}) == options


def test_a_bias_is_for_a_token_or_a_text_and_false_is_never():
    raw = {"12": 1, " 12": 2, "no": False, "": 0}
    del raw[""]
    assert parse_options({"logit_bias": raw}).logit_bias == ((12, 1.0), (" 12", 2.0), ("no", NEVER))


@pytest.mark.parametrize(
    "value",
    [
        *(5, "x", [1], [[1]], [[1, 2, 3]], {"1": True}, {"1": "a"}, {"": 1}, {"1": 101}),
        *([[-1, 0]], [[2**31, 0]], [[True, 0]], {"1": None}, [[0, 0]] * 5000),
    ],
)
def test_what_is_no_bias_is_refused(value):
    with pytest.raises(InvalidRequest, match="logit_bias") as caught:
        parse_options({"logit_bias": value})
    assert caught.value.param == "logit_bias"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("banned_strings", ["x"] * 65),
        ("banned_strings", "x" * 257),
        ("dry_sequence_breakers", ["é" * 21]),
        ("dry_sequence_breakers", ["x"] * 65),
    ],
)
def test_lists_have_their_limits(name, value):
    with pytest.raises(InvalidRequest, match=f"^{name} has .* at most") as caught:
        parse_options({name: value})
    assert caught.value.param == name


@pytest.mark.parametrize("name", ["stop", "banned_strings", "dry_sequence_breakers"])
def test_one_text_is_a_list_of_one_and_empty_ones_are_left_out(name):
    assert getattr(parse_options({name: "ab"}), name) == ("ab",)
    assert getattr(parse_options({name: ["", "c"]}), name) == ("c",)
    with pytest.raises(InvalidRequest, match=name):
        parse_options({name: [1]})
