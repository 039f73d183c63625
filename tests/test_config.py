"""Settings, as people write them."""

from __future__ import annotations

import pytest

from runner.config import KV_TYPES, load_settings
from runner.errors import InvalidRequest


@pytest.fixture
def read(tmp_path):
    def settings(**environ):
        return load_settings(tmp_path / "none.toml", environ)

    return settings


@pytest.mark.parametrize(
    ("text", "types"),
    [*((kind, (kind, kind)) for kind in KV_TYPES), ("Q8_0/F16", ("q8_0", "f16"))],
)
def test_a_cache_has_one_type_or_one_for_keys_and_one_for_values(read, text, types):
    assert read(CORRAL_KV_CACHE_TYPE=text).kv_cache_type == types
    assert read(OLLAMA_KV_CACHE_TYPE=text).kv_cache_type == types
    assert read(CORRAL_KV_CACHE_TYPE=text, OLLAMA_KV_CACHE_TYPE="f32").kv_cache_type == types


@pytest.mark.parametrize("text", ["q9", "/f16", "q8_0/q8_0/q8_0", "f16 q8_0"])
def test_a_type_that_no_cache_has_is_refused_with_those_it_can_have(read, text):
    with pytest.raises(InvalidRequest, match=r"CORRAL_KV_CACHE_TYPE.*q8_0"):
        read(CORRAL_KV_CACHE_TYPE=text)


@pytest.mark.parametrize(
    ("text", "value"), [("1", True), ("On", True), ("0", False), ("false", False), ("auto", None)]
)
def test_flash_attention_is_on_off_or_as_it_works(read, text, value):
    assert read(CORRAL_FLASH_ATTENTION=text).flash_attention is value
    assert read(OLLAMA_FLASH_ATTENTION=text).flash_attention is value
    with pytest.raises(InvalidRequest, match="on, off or auto"):
        read(CORRAL_FLASH_ATTENTION="perhaps")


def test_nothing_said_leaves_both_to_the_engine(read):
    settings = read()
    assert settings.kv_cache_type == ("f16", "f16")
    assert settings.flash_attention is None
