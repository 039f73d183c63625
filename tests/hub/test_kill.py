"""A download killed at random moments comes to its end, and fetches next to nothing twice.

``CORRAL_SOAK=1`` kills more than a hundred times.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runner.store.arrival import PART_BYTES
from tests.fakes.file_server import FileServer
from tests.hub.fetching import MIB, noise
from tests.real_daemon import wait_for

ROOT = Path(__file__).parents[2]
CHILD = Path(__file__).with_name("killed_fetch.py")
IS_SOAK = bool(os.environ.get("CORRAL_SOAK"))
N_KILLS = 120 if IS_SOAK else 8
#: Each range loses a piece and a window, all together no more than this.
MOST_TWICE = 16 * MIB
PATH = "/model.gguf"
CONTENT = noise((24 if IS_SOAK else 5) * PART_BYTES + 4321)
DIGEST = hashlib.sha256(CONTENT).hexdigest()

pytestmark = pytest.mark.skipif(os.name == "nt", reason="kills with SIGKILL")


def start(folder: Path, *urls: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, str(CHILD), str(folder), str(len(CONTENT)), DIGEST, *urls],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_download_that_is_killed_again_and_again_ends_right(tmp_path, seed):
    dice = random.Random(seed)
    with FileServer({PATH: CONTENT}) as server:
        server.rate_bps = 20 * MIB  # so that there is a middle to be killed in
        n_kills, n_waste = 0, 0
        while n_kills < N_KILLS // 2:
            before = server.n_served(PATH)
            step = len(CONTENT) // (N_KILLS // 2 + 2)
            goal = before + dice.randrange(step // 8, step)
            child = start(tmp_path, server.url(PATH))
            wait_for(
                lambda c=child, g=goal: c.poll() is not None or server.n_served(PATH) >= g,
                "bytes to be served",
                60,
            )
            assert child.poll() is None, child.communicate()
            child.send_signal(signal.SIGKILL)
            child.communicate()
            n_kills += 1
            n_twice = server.n_served(PATH) - n_waste - covered(server)
            assert n_twice <= MOST_TWICE
            n_waste += n_twice
        child = start(tmp_path, server.url(PATH))
        out, err = child.communicate(timeout=120)
        assert out.decode() == f"sha256:{DIGEST}", err.decode()
        (data,) = tmp_path.glob("*.data")
        assert hashlib.sha256(data.read_bytes()).hexdigest() == DIGEST
        n_twice = server.n_served(PATH) - len(CONTENT)
        assert n_twice <= n_kills * MOST_TWICE
        sys.stdout.write(f"{n_kills} kills, {n_twice / n_kills / MIB:.2f} MiB twice a kill\n")
        # What the network carried twice, beyond what lay unread in the two ends' buffers.
        assert n_twice <= n_kills * 8 * MIB


def covered(server: FileServer) -> int:
    """Bytes of the file that were served at least once."""
    end = n_bytes = 0
    for first, last in sorted(server.served.get(PATH, [])):
        n_bytes += max(0, last - max(first, end))
        end = max(end, last)
    return n_bytes


def test_two_processes_do_not_write_the_same_file(tmp_path):
    with FileServer({PATH: CONTENT}) as server:
        server.rate_bps = 4 * MIB
        first = start(tmp_path, server.url(PATH))
        wait_for(lambda: server.n_served(PATH) > MIB, "bytes to be served")
        second = start(tmp_path, server.url(PATH))
        _, err = second.communicate(timeout=60)
        assert b"somebody else has it" in err
        first.kill()
        first.communicate()
