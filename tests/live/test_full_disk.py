"""A disk without room: the daemon starts all the same, says what is wrong, and removes a model."""

from __future__ import annotations

import contextlib
import shutil
import subprocess

import pytest

from tests.live.talk import answers_well
from tests.real_daemon import RealDaemon

pytestmark = pytest.mark.live


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 8 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    words = [mount, "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)]
    if mount is None or subprocess.run(words, capture_output=True).returncode:
        pytest.skip("needs the right to mount a disk of its own")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(disk) -> None:
    """Write until not one more block fits."""
    with contextlib.suppress(OSError), (disk / "filler").open("ab", buffering=0) as file:
        while file.write(bytes(512)):
            pass


def refused_for_room(daemon: RealDaemon) -> None:
    reply = daemon.ask("POST", "/api/pull", {"model": "smollm2"})
    assert reply.status == 503
    assert reply.json["code"] == "disk_full"
    assert "bytes are free" in reply.json["error"]
    assert "Traceback" not in daemon.log


def test_a_full_disk_keeps_no_daemon_from_starting_and_removing_a_model(small_disk, tiny):
    """However the last daemon ended, and though the room that was kept for this is used up."""
    daemon = RealDaemon(small_disk / "home").start()
    daemon.take_in(tiny, "tiny")
    for has_ended_well in (False, True, False):
        fill(small_disk)
        refused_for_room(daemon)
        if has_ended_well:
            assert daemon.stop() == 0
        else:
            daemon.process.kill()
            daemon.process.wait()
            daemon.file.unlink()  # nor is there anything to write over
        fill(small_disk)
        with contextlib.closing(daemon.start().send("GET", "/api/tags")) as connection:
            assert connection.getresponse().status == 200
        answers_well(daemon)
    assert daemon.ask("DELETE", "/api/delete", {"model": "tiny"}).status == 200
    (small_disk / "filler").unlink()
    daemon.take_in(tiny, "tiny")
    daemon.stop()
