"""What a key opens."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from runner.domain.key import Key, Scope
from runner.domain.name import ModelName


def key(*scopes, models=()):
    return Key("id", "name", frozenset(scopes), models)


def test_admin_opens_everything_and_others_themselves():
    assert all(key(Scope.ADMIN).opens(scope) for scope in Scope)
    assert [s for s in Scope if key(Scope.MANAGE).opens(s)] == [Scope.MANAGE]
    assert [s for s in Scope if key(Scope.INFER).opens(s)] == [Scope.INFER]


@pytest.mark.parametrize(
    ("patterns", "name", "allowed"),
    [
        ((), "anything", True),
        (("smollm2",), "smollm2:latest", True),
        (("smollm2",), "SmolLM2", True),
        (("smollm2",), "smollm2:q8", False),
        (("smollm2:*",), "smollm2:q8", True),
        (("qwen3:*",), "qwen3-coder:latest", False),
        (("qwen*",), "qwen3-coder:latest", True),
        (("hf.co/me/*",), "hf.co/me/repo:Q4_K_M", True),
        (("hf.co/me/*",), "hf.co/you/repo:Q4_K_M", False),
        (("a", "b"), "b", True),
    ],
)
def test_a_key_names_the_models_it_is_for(patterns, name, allowed):
    assert key(Scope.INFER, models=patterns).allows_model(ModelName.parse(name)) is allowed


@given(st.text())
def test_no_pattern_breaks_the_rule(pattern):
    assert key(Scope.INFER, models=(pattern,)).allows_model(ModelName.parse("x")) in (True, False)
