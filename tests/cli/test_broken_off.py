"""Commands that are broken off: by the daemon, by the user, by what reads their output."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

PIECES = "Blue light scatters."


@pytest.mark.parametrize(
    ("event", "words"),
    [("fail", "error: the worker died\n  try again"), ("cut", "was lost before the answer ended")],
)
def test_an_answer_that_fails_half_way_keeps_its_half_and_exits_with_1(
    corral, daemon, event, words
):
    daemon.script.event = event
    done = corral("run", "smollm2", "x")
    assert (done.returncode, done.out) == (1, "Blue\n")
    assert words in done.err
    assert "Traceback" not in done.err


def test_ctrl_c_stops_the_answer_and_exits_with_130(corral, daemon):
    daemon.script.event = "stall"
    process = corral.start("run", "smollm2", "x")
    assert process.stdout.read(4) == b"Blue"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, b"\n", b"")
    assert daemon.left.wait(60)


def test_ctrl_c_pauses_a_pull_and_says_how_to_go_on(corral, daemon):
    daemon.script.pull = [{"status": "pulling manifest"}, {"status": "stall"}]
    process = corral.start("pull", "qwen3")
    assert process.stderr.readline() == b"pulling manifest\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, b"paused; go on with: corral pull qwen3\n")


@pytest.mark.parametrize(
    ("state", "attended", "words"),
    [
        ("running", False, "job 3 goes on; see it with: corral jobs"),
        ("queued", False, "job 3 goes on; see it with: corral jobs"),
        ("paused", True, "paused; go on with: corral pull qwen3"),
        ("failed", True, "paused; go on with: corral pull qwen3"),
        ("done", True, ""),
    ],
)
def test_ctrl_c_says_what_the_daemon_does_with_a_pull(corral, daemon, state, attended, words):
    """A job that was begun apart goes on, whoever follows it."""
    daemon.script.pull = [{"status": "pulling manifest"}, {"status": "stall"}]
    ours = job(3, state, kind="pull") | {"name": "qwen3:latest", "is_attended": attended}
    jobs = [ours, job(2, "running", kind="pull"), {**ours, "id": 1, "state": "failed"}]
    daemon.script.failures["/api/jobs"] = (200, {"jobs": jobs})
    process = corral.start("pull", "qwen3")
    assert process.stderr.readline() == b"pulling manifest\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert (process.returncode, err.decode().partition("\n")[0]) == (130, words)


def test_ctrl_c_waits_until_a_pull_has_paused(corral, daemon):
    daemon.script.pull = [{"status": "pulling manifest"}, {"status": "stall"}]
    ours = job(3, "running", kind="pull") | {"name": "qwen3:latest", "is_attended": True}
    daemon.script.failures["/api/jobs"] = (200, {"jobs": [ours]})
    process = corral.start("pull", "qwen3")
    assert process.stderr.readline() == b"pulling manifest\n"
    process.send_signal(signal.SIGINT)
    assert daemon.left.wait(5)
    ours["state"] = "paused"
    _, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (130, b"paused; go on with: corral pull qwen3\n")


def test_ctrl_c_leaves_a_model_to_be_made_and_says_so(corral, daemon, tmp_path):
    """Only where that is a job: another one of this name, or one that is over, is not meant."""
    daemon.script.pull = [{"status": "converting model"}, {"status": "stall"}]
    file = tmp_path / "Modelfile"
    file.write_text("FROM smollm2")
    jobs = [job(3, "running", kind="pull"), job(4, "running"), job(5, "done")]
    for told, left in ((jobs, "job 4 goes on; see it with: corral jobs"), ([], "")):
        daemon.script.failures["/api/jobs"] = (200, {"jobs": told})
        process = corral.start("create", "mine", "-f", str(file))
        assert process.stderr.readline() == b"converting model\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert (process.returncode, err.decode().partition("\n")[0]) == (130, left)


def job(number, state, kind="create"):
    return {
        **{"id": number, "kind": kind, "name": "mine:latest", "state": state, "phase": ""},
        **{"n_done": 0, "n_bytes": 0, "rate_bps": 0, "eta_s": None, "source": "", "error": None},
        **{"started": "2026-01-02T03:04:05Z", "finished": None, "place": 0, "limit_bps": 0},
        "is_attended": False,
    }


def test_a_reader_that_leaves_is_no_error(corral, daemon):
    daemon.script.answer = ("x" * 5000,) * 100
    process = corral.start("run", "smollm2", "x")
    process.stdout.read(10)
    process.stdout.close()
    assert process.wait(timeout=60) == 0
    assert process.stderr.read() == b""
    process.stderr.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_an_error_in_words(corral):
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*corral.command, "list"],
            stdout=full,
            stderr=subprocess.PIPE,
            env=corral.environ,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == b"error: cannot go on: No space left on device\n"


def test_closed_streams_and_odd_encodings_are_survived(corral):
    corral.environ |= {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = corral("run", "smollm2", b"caf\xff \xc3\xa9".decode(errors="surrogateescape"))
    assert (done.returncode, done.out) == (0, PIECES + "\n")
    script = f'exec "{sys.executable}" -P -m runner list <&- >&- 2>&-'
    assert subprocess.run(["sh", "-c", script], env=corral.environ, check=False).returncode == 0
