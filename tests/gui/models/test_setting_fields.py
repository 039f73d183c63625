"""The daemon's settings by topic."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from gui.models.setting_fields import TOPICS, chosen, fields_of, waiting
from gui.words import CHINESE
from runner.config import SETTING_SPECS
from runner.domain.setting import SettingState

FIELDS = {field.name: field for fields in TOPICS.values() for field in fields}


def state(name, value="1", *, is_pending=False):
    return SettingState(name, value, "1", "default", "", f"About {name}.", True, is_pending)


def test_every_field_is_a_setting_of_the_daemon_and_in_one_topic():
    assert set(FIELDS) <= {spec.key for spec in SETTING_SPECS.values()}
    assert sum(map(len, TOPICS.values())) == len(FIELDS)


@pytest.mark.parametrize("field", FIELDS.values(), ids=lambda field: field.name)
def test_every_choice_is_one_that_the_daemon_takes(field):
    spec = next(spec for spec in SETTING_SPECS.values() if spec.key == field.name)
    for value, _ in field.choices:
        spec.parse(value)


def test_names_and_words_have_a_chinese_text():
    said = {text for field in FIELDS.values() for text in (field.label, field.words)}
    said |= {w for f in FIELDS.values() for v, w in f.choices if w != v and w != "Hugging Face"}
    assert said - set(CHINESE) <= {"ModelScope"}


@given(st.sets(st.sampled_from([*FIELDS, "new_one", "another"])))
def test_what_no_topic_knows_is_shown_in_the_daemons_words(names):
    states = [state(name) for name in names]
    shown = [f.name for topic in (*TOPICS, "others") for f in fields_of(topic, states)]
    assert sorted(shown) == sorted(names)
    for field in fields_of("others", states):
        assert field.words == f"About {field.name}."


def test_one_meaning_has_one_choice():
    assert chosen(FIELDS["share_cache"], "YES") == "true"
    assert chosen(FIELDS["flash_attention"], "0") == "off"
    assert chosen(FIELDS["log_level"], "warning") == "warn"
    assert chosen(FIELDS["kv_cache_type"], "q8_0/f16") == "q8_0/f16"


def test_what_waits_for_a_restart_is_named():
    assert waiting([state("a"), state("b", is_pending=True)]) == ["b"]
