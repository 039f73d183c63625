"""Options about how a model is loaded: words, shares and spans of time."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from runner.domain.options import Options, parse_options
from runner.errors import InvalidRequest


@pytest.mark.parametrize(
    ("name", "given", "meant"),
    [
        ("cache_type_k", "Q8_0", "q8_0"),
        ("cache_type_v", "f16", "f16"),
        ("rope_scaling", "yarn", "yarn"),
        ("tensor_split", "3,1", (3.0, 1.0)),
        ("tensor_split", [3, 1], (3.0, 1.0)),
        ("tensor_split", ["3", "1"], (3.0, 1.0)),
        ("keep_alive", "10m", 600.0),
        ("keep_alive", 90, 90.0),
        ("keep_alive", -1, -1.0),
        ("keep_alive", "-5s", -1.0),
        ("keep_alive", 0, 0.0),
        ("num_parallel", 4, 4),
        ("num_cpu_moe", -1, -1),
        ("use_mlock", True, True),
        ("flash_attention", False, False),
    ],
)
def test_each_is_read_as_it_is_meant(name, given, meant):
    assert parse_options({name: given}) == Options(**{name: meant})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cache_type_k", "q9_9"),
        ("cache_type_k", 3),
        ("rope_scaling", "twist"),
        ("tensor_split", "3,x"),
        ("tensor_split", "0,0"),
        ("tensor_split", [-1, 2]),
        ("tensor_split", True),
        ("tensor_split", {}),
        ("keep_alive", "soon"),
        ("keep_alive", True),
        ("keep_alive", []),
        ("num_parallel", 0),
        ("use_mlock", 1),
        ("rope_frequency_scale", -1),
    ],
)
def test_what_none_of_them_can_be_names_the_option(name, value):
    with pytest.raises(InvalidRequest) as error:
        parse_options({name: value})
    assert name in error.value.message
    assert error.value.param == name


anything = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text())


@given(st.sampled_from(["tensor_split", "keep_alive", "cache_type_k", "rope_scaling"]), anything)
def test_whatever_is_given_is_read_or_refused(name, value):
    try:
        found = getattr(parse_options({name: value}), name)
    except InvalidRequest:
        return
    assert found is None or getattr(parse_options({name: found}), name) == found
