"""Settings, as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from runner.config import (
    KV_TYPES,
    SETTING_SPECS,
    Settings,
    load_settings,
    read_config,
    readable_settings,
)
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


@pytest.mark.parametrize(("text", "value"), [("1", "on"), ("OFF", "off"), ("auto", "auto")])
def test_guessing_is_on_off_or_where_it_pays(read, text, value):
    assert read(CORRAL_SPECULATE=text).speculate == value
    assert read().speculate == "auto"
    with pytest.raises(InvalidRequest, match="on, off or auto"):
        read(CORRAL_SPECULATE="perhaps")


def test_nothing_said_leaves_both_to_the_engine(read):
    settings = read()
    assert settings.kv_cache_type == ("f16", "f16")
    assert settings.flash_attention is None


def load(tmp_path, **environ):
    return load_settings(tmp_path / "config.toml", environ)


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [
        ("0", 0),
        ("4096", 4096),
        ("12 B", 12),
        ("1k", 1 << 10),
        ("500MB", 500 << 20),
        ("4gb", 4 << 30),
        ("2 GiB", 2 << 30),
        ("1T", 1 << 40),
    ],
)
def test_a_size_is_bytes_or_has_a_unit(tmp_path, text, n_bytes):
    assert load(tmp_path, CORRAL_KV_DISK=text).kv_disk_bytes == n_bytes


@pytest.mark.parametrize("text", ["-1", "much", "4 GBs", "1.5GB", "GB", "1e9", "9" * 16])
def test_another_size_is_refused_with_the_place(tmp_path, text):
    with pytest.raises(InvalidRequest, match="CORRAL_KV_DISK: want a size such as 500MB or 4GB"):
        load(tmp_path, CORRAL_KV_DISK=text)


@given(st.text())
def test_any_text_is_a_size_or_refused(tmp_path_factory, text):
    try:
        assert load(tmp_path_factory.getbasetemp(), CORRAL_KV_DISK=text).kv_disk_bytes >= 0
    except InvalidRequest as error:
        assert "CORRAL_KV_DISK" in error.message


@pytest.mark.parametrize(("text", "value"), [("true", True), ("1", True), ("OFF", False)])
def test_a_switch_is_on_or_off(tmp_path, text, value):
    assert load(tmp_path, CORRAL_SHARE_CACHE=text).share_cache is value


def test_another_word_for_a_switch_is_refused(tmp_path):
    with pytest.raises(InvalidRequest, match="want true or false, not 'maybe'"):
        load(tmp_path, CORRAL_SHARE_CACHE="maybe")


def test_the_file_may_say_it_too(tmp_path):
    (tmp_path / "config.toml").write_text('kv_disk = "1GB"\nshare_cache = true\n')
    settings = load(tmp_path)
    assert (settings.kv_disk_bytes, settings.share_cache) == (1 << 30, True)


def test_by_default_prompts_are_kept_and_not_shared(tmp_path):
    assert load(tmp_path) == Settings()
    assert (Settings().kv_disk_bytes, Settings().share_cache) == (4 << 30, False)


@given(st.dictionaries(st.sampled_from([spec.env for spec in SETTING_SPECS.values()]), st.text()))
def test_what_can_be_understood_counts_whatever_else_cannot(environ):
    """All that is told as wrong, taken away, leaves the same settings, and nothing wrong."""
    settings, problems = readable_settings({}, environ)
    places = {problem.message.partition(":")[0].partition(" ")[0] for problem in problems}
    assert len(places) == len(problems)
    rest = {name: text for name, text in environ.items() if name not in places}
    assert readable_settings({}, rest) == (settings, [])


def test_a_home_that_is_a_file_has_no_settings(tmp_path):
    """What is wrong with it is told by whoever writes there first."""
    (tmp_path / "file").touch()
    assert read_config(tmp_path / "file" / "config.toml") == {}


def test_a_certificate_in_the_home_of_nobody_is_refused_in_words(tmp_path):
    with pytest.raises(InvalidRequest, match="CORRAL_TLS_CERT: want an absolute path"):
        load_settings(tmp_path / "none", {"CORRAL_TLS_CERT": "~nobody-at-all/cert.pem"})
