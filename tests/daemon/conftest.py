"""Daemons for one test each."""

from __future__ import annotations

import pytest

from tests.real_daemon import RealDaemon


@pytest.fixture
def make_daemon(tmp_path):
    """Make daemons, not yet started; all are ended afterwards."""
    made = []

    def make(home="home", **more):
        daemon = RealDaemon(tmp_path / home, **more)
        made.append(daemon)
        return daemon

    yield make
    for daemon in made:
        if daemon.process is not None:
            daemon.stop()
