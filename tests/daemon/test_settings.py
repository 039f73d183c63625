"""Settings that change while the daemon runs."""

from __future__ import annotations

import asyncio
import tomllib

import pytest
from hypothesis import given, strategies as st

from runner.config import SETTING_SPECS, Settings, load_settings
from runner.daemon.settings import LiveSettings
from runner.errors import InvalidRequest


def live(path, environ=None):
    environ = environ or {}
    return LiveSettings(path, load_settings(path, environ), environ)


def state(settings, name):
    return next(one for one in settings.list_settings() if one.name == name)


def test_what_is_shown_at_first_are_the_defaults(tmp_path):
    states = live(tmp_path / "config.toml").list_settings()
    assert [one.name for one in states] == [spec.key for spec in SETTING_SPECS.values()]
    assert {one.source for one in states} == {"default"}
    assert not any(one.is_pending for one in states)
    assert all(one.help for one in states)


def test_a_change_is_written_and_counts_at_once_where_it_can(tmp_path):
    path = tmp_path / "config.toml"
    settings, heard = live(path), []
    settings.when_changed(("keep_alive_s",), heard.append)
    asyncio.run(settings.change({"keep_alive": "10m", "num_parallel": 4}))
    assert [new.keep_alive_s for new in heard] == [600.0]
    assert settings.in_force("keep_alive_s") == 600.0
    assert not state(settings, "keep_alive").is_pending
    assert state(settings, "num_parallel").is_pending
    assert tomllib.loads(path.read_text()) == {
        "format": 1, "keep_alive": "10m", "num_parallel": 4,
    }  # fmt: skip
    asyncio.run(settings.change({"num_parallel": 5}))
    assert len(heard) == 1
    asyncio.run(settings.change({"keep_alive": None, "num_parallel": None}))
    assert heard[-1].keep_alive_s == 300.0
    assert load_settings(path, {}) == Settings()


@pytest.mark.parametrize(
    ("values", "said"),
    [({"num_parallel": 0}, "from 1 to 256"), ({"nonsense": 1}, "no setting 'nonsense'"),
     ({"num_parallel": [1]}, "must be a string"), ({"keep_alive": {"a": 1}}, "must be a string"),
     ({"max_queue": 5, "hub": "x"}, "hub"), ({"max_queue": True}, "whole number")],
)  # fmt: skip
def test_one_wrong_value_changes_nothing_and_is_named(tmp_path, values, said):
    path = tmp_path / "config.toml"
    with pytest.raises(InvalidRequest, match=said) as caught:
        asyncio.run(live(path).change({"keep_alive": "1m"} | values))
    assert caught.value.param in values
    assert not path.exists()


def test_what_the_environment_says_wins_and_is_not_changed_here(tmp_path):
    path = tmp_path / "config.toml"
    settings = live(path, {"OLLAMA_KEEP_ALIVE": "1h"})
    shown = state(settings, "keep_alive")
    assert (shown.value, shown.source, shown.variable) == ("1h", "environment", "OLLAMA_KEEP_ALIVE")
    with pytest.raises(InvalidRequest, match="OLLAMA_KEEP_ALIVE"):
        asyncio.run(settings.change({"keep_alive": "5m"}))


def test_what_people_wrote_beside_stays(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text('note = "mine"\norigins = ["https://a.example"]\n')
    asyncio.run(live(path).change({"max_queue": 9}))
    stored = tomllib.loads(path.read_text())
    assert (stored["note"], stored["origins"]) == ("mine", ["https://a.example"])


def test_a_file_that_cannot_be_kept_whole_is_not_touched(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text("[table]\na = 1\n")
    with pytest.raises(InvalidRequest, match="table"):
        asyncio.run(live(path).change({"max_queue": 9}))
    assert path.read_text() == "[table]\na = 1\n"


def test_a_file_of_a_later_version_is_refused(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text("format = 2\n")
    with pytest.raises(InvalidRequest, match="format 2"):
        load_settings(path, {})


@given(st.lists(st.text()))
def test_every_text_survives_the_file(tmp_path_factory, origins):
    path = tmp_path_factory.mktemp("c") / "config.toml"
    asyncio.run(live(path).change({"origins": origins}))
    assert tomllib.loads(path.read_text(encoding="utf-8"))["origins"] == origins
