"""Settings of kept prompts: what is understood, and what is refused in words."""

import pytest
from hypothesis import given, strategies as st

from runner.config import Settings, load_settings
from runner.errors import InvalidRequest


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
