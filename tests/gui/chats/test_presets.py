"""Settings with a name."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from gui.chats.presets import OURS, Preset, matching
from gui.chats.storage import Storage
from gui.words import CHINESE
from runner.domain.options import parse_options


@pytest.mark.parametrize("preset", OURS, ids=lambda preset: preset.name)
def test_what_comes_along_is_valid_and_has_a_chinese_name(preset):
    assert parse_options(preset.options).set_values() == dict(preset.options)
    assert preset.name in CHINESE


def test_no_two_that_come_along_are_the_same():
    assert len({preset.name for preset in OURS}) == len(OURS)
    for preset in OURS:
        assert matching(OURS, preset.system, preset.options) == preset.name


@given(st.text(min_size=1), st.dictionaries(st.sampled_from(["seed", "top_k"]), st.integers()))
def test_settings_of_ones_own_have_no_name(system, options):
    found = matching((Preset("x", system, options),), system + "!", options)
    assert found == ""


@pytest.mark.blocking
def test_own_ones_are_kept_replaced_and_forgotten(tmp_path):
    path = tmp_path / "chats.sqlite"
    storage = Storage(path)
    storage.save_preset(Preset("b", "s", {"seed": 1}))
    storage.save_preset(Preset("a"))
    storage.save_preset(Preset("b", "t", {"seed": 2}))
    storage.close()
    again = Storage(path)
    assert again.presets() == [Preset("a"), Preset("b", "t", {"seed": 2})]
    again.delete_preset("a")
    assert [preset.name for preset in again.presets()] == ["b"]
    again.close()
