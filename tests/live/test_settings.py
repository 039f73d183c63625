"""Settings that change while the daemon runs, and the models that it loads afterwards."""

from __future__ import annotations

import psutil
import pytest

pytestmark = pytest.mark.live


def test_a_log_level_counts_for_the_models_loaded_afterwards(own_daemon):
    def levels():
        commands = [child.cmdline() for child in psutil.Process(own_daemon.pid).children()]
        return [command[-1] for command in commands if "_worker" in command]

    def load():
        assert own_daemon.ask("POST", "/api/generate", {"model": "tiny"}).status == 200

    load()
    assert levels() == ["info"]
    changed = own_daemon.ask("PATCH", "/api/settings", {"log_level": "debug"}, owner=True)
    assert changed.status == 200
    assert levels() == ["info"]
    assert own_daemon.ask("POST", "/api/unload", {"model": "tiny"}).status == 200
    load()
    assert levels()[-1] == "debug"
