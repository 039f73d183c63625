"""Keys: whatever differs makes another folder, and the model can be told from its name."""

import pytest
from hypothesis import given, strategies as st

from runner.kv.key import CacheKey, model_prefix, owner_name

KEY = CacheKey(
    "sha256:ab", "0.3.36 b1", {"type_k": 1, "rope_freq_base": 0.0}, (("sha256:cd", 1.0),)
)


@pytest.mark.parametrize(
    "other",
    [
        CacheKey("sha256:ac", KEY.build, KEY.settings, KEY.adapters),
        CacheKey(KEY.model, "0.3.36 b2", KEY.settings, KEY.adapters),
        CacheKey(KEY.model, KEY.build, {"type_k": 8, "rope_freq_base": 0.0}, KEY.adapters),
        CacheKey(KEY.model, KEY.build, {"type_k": 1, "rope_freq_base": 1e4}, KEY.adapters),
        CacheKey(KEY.model, KEY.build, {"type_k": 1}, KEY.adapters),
        CacheKey(KEY.model, KEY.build, KEY.settings, (("sha256:cd", 0.5),)),
        CacheKey(KEY.model, KEY.build, KEY.settings),
    ],
)
def test_whatever_differs_makes_another_key(other):
    assert other.as_text() != KEY.as_text()
    assert other.folder_name != KEY.folder_name


def test_the_order_of_settings_does_not_matter():
    other = CacheKey(KEY.model, KEY.build, dict(reversed(KEY.settings.items())), KEY.adapters)
    assert other.folder_name == KEY.folder_name


@given(st.text(), st.text())
def test_names_are_plain_and_tell_models_and_owners_apart(a, b):
    for name in (owner_name(a), CacheKey(a, "").folder_name):
        assert name.replace("-", "").isalnum()
        assert name.isascii()
    assert CacheKey(a, "").folder_name.startswith(model_prefix(a))
    assert (owner_name(a) == owner_name(b)) == (a == b)
    assert CacheKey(a, "").folder_name.startswith(model_prefix(b)) == (a == b)
