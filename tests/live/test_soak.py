"""The soak, short: half a minute of clients, pulls, cancels, killed workers and new daemons."""

from __future__ import annotations

import os

import pytest

from tests.soak import soak

pytestmark = pytest.mark.live


#: Read here: tests themselves run without the user's settings.
SECONDS = 300.0 if os.environ.get("CORRAL_SOAK") else 25.0


@pytest.mark.timeout(600)
def test_nothing_is_lost_hangs_or_grows_when_everything_happens_at_once(tmp_path):
    world = soak(tmp_path, seconds=SECONDS, seed=3, n_clients=4, pause_s=3.0)
    assert world.faults == []
    done = world.ended
    assert done["chat: whole"] and done["look: whole"], done
    assert sum(n for kind, n in done.items() if kind.startswith("trouble")) >= 2, done
