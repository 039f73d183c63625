"""Finding, telling apart and starting the daemon, with real processes."""

import json
import shutil
import socket
import sys
import threading
from pathlib import Path

import pytest

from runner.client import launch
from runner.client.launch import Found, Kind
from runner.domain.address import Address, parse_address
from runner.errors import DaemonError
from runner.paths import find_paths
from tests.fakes.daemon import TOKEN, FakeDaemon, Script

ROOT = Path(__file__).parents[2]
FAKE = [sys.executable, str(ROOT / "tests/fakes/daemon.py")]


@pytest.fixture
def place(unused_port, monkeypatch):
    address = Address("127.0.0.1", unused_port)
    monkeypatch.setenv("CORRAL_HOST", str(address))
    yield find_paths(), address
    if launch.probe(address).kind is Kind.CORRAL:
        launch.client_for(find_paths(), address).shutdown()
        launch.wait_until_gone(address)


@pytest.mark.parametrize(
    ("script", "found"),
    [
        (Script(), Found(Kind.CORRAL, "0.1.0")),
        (Script(version="9.9.9"), Found(Kind.CORRAL, "9.9.9")),
        (Script(version=None, greeting="Ollama is running"), Found(Kind.OLLAMA, "0.32.15")),
        (Script(version=None, greeting="It works!"), Found(Kind.STRANGER)),
        (
            Script(version=None, failures={"/api/version": (404, "?"), "/": (500, "?")}),
            Found(Kind.STRANGER),
        ),
    ],
)
def test_what_answers_is_told_apart(script, found):
    with FakeDaemon(script) as daemon:
        assert launch.probe(parse_address(daemon.place)) == found


def test_nothing_is_told_from_something_that_never_answers(unused_port):
    assert launch.probe(Address("127.0.0.1", unused_port)) == Found(Kind.NOTHING)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = Address("127.0.0.1", mute.getsockname()[1])
        assert launch.probe(address, timeout_s=0.05) == Found(Kind.STRANGER)


def test_a_machine_that_takes_no_connection_is_no_program_that_answers(monkeypatch):
    """Whoever mistyped an address is not told to stop a program there."""

    def nobody(*_, **__):
        raise TimeoutError

    monkeypatch.setattr("runner.client.connection.reach", nobody)
    with pytest.raises(DaemonError, match="did not answer within 5 s") as caught:
        launch.probe(Address("192.0.2.1", 11434))
    assert "CORRAL_HOST" in caught.value.hint


def test_the_token_goes_only_to_the_address_it_was_written_for():
    paths = find_paths()
    assert launch.find_token(paths, Address("127.0.0.1", 1234)) == ""
    paths.run.mkdir(parents=True)
    for where, asked, due in (
        ("127.0.0.1:1234", Address("127.0.0.1", 1234), True),
        ("127.0.0.1:1234", Address("localhost", 1234), True),
        ("0.0.0.0:1234", Address("127.0.0.1", 1234), True),
        ("http://[::1]:1234", Address("::1", 1234), True),
        ("127.0.0.1:1234", Address("127.0.0.1", 1235), False),
        ("127.0.0.1:1234", Address("example.org", 1234), False),
        ("127.0.0.1:x", Address("127.0.0.1", 1234), False),
    ):
        paths.daemon_file.write_text(json.dumps({"address": where, "token": TOKEN}))
        assert launch.find_token(paths, asked) == (TOKEN if due else ""), where
    for broken in ("", "[]", '{"token": 3}', "\x00"):
        paths.daemon_file.write_text(broken)
        assert launch.find_token(paths, Address("127.0.0.1", 1234)) == ""


def test_a_daemon_is_started_and_logs_where_it_should(place):
    paths, address = place
    assert launch.start(paths, address, command=FAKE) == Found(Kind.CORRAL, "0.1.0")
    assert "starts" in "".join(launch.last_lines(paths.daemon_log, 5))


def test_two_starters_at_once_end_up_with_one_daemon(place, monkeypatch):
    """Both get an answer, and the log knows one process that began to serve."""
    paths, address = place
    monkeypatch.setenv("FAKE_DAEMON_DELAY", "0.3")
    found = []

    def start():
        found.append(launch.start(paths, address, command=FAKE))

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [Found(Kind.CORRAL, "0.1.0")] * 4
    assert paths.daemon_log.read_text().count("starts") == 1


def test_a_daemon_that_cannot_start_says_why(place, monkeypatch):
    paths, address = place
    monkeypatch.setenv("FAKE_DAEMON", "fails")
    paths.logs.mkdir(parents=True)
    paths.daemon_log.write_text("an older line\n")
    with pytest.raises(DaemonError, match="exit code 3") as caught:
        launch.start(paths, address, command=FAKE)
    assert "cannot listen: out of luck" in caught.value.message
    assert "an older line" not in caught.value.message


def test_a_daemon_that_had_no_room_to_say_why_is_spoken_for(place, monkeypatch):
    paths, address = place
    mute = [sys.executable, "-c", "raise SystemExit(1)"]
    with pytest.raises(DaemonError, match="it said nothing"):
        launch.start(paths, address, command=mute)
    free = shutil.disk_usage(paths.logs)._replace(free=17)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    with pytest.raises(DaemonError, match="17 bytes are free") as caught:
        launch.start(paths, address, command=mute)
    assert "make room" in caught.value.hint


def test_a_daemon_that_never_answers_is_ended(place, monkeypatch):
    paths, address = place
    monkeypatch.setenv("FAKE_DAEMON_DELAY", "30")
    with pytest.raises(DaemonError, match=r"did not answer .* within 0\.5 s") as caught:
        launch.start(paths, address, command=FAKE, deadline_s=0.5)
    assert str(paths.daemon_log) in caught.value.hint


def test_a_program_that_is_missing_is_an_error_in_words(place):
    paths, address = place
    with pytest.raises(DaemonError, match="cannot start the daemon"):
        launch.start(paths, address, command=["/no/such/program"])


def test_no_daemon_is_started_for_another_machines_address():
    with pytest.raises(DaemonError, match=r"no daemon answers at 192\.0\.2\.7:11434") as caught:
        launch.start(find_paths(), Address("192.0.2.7", 11434), command=FAKE)
    assert "another machine" in caught.value.hint


def test_relative_paths_keep_their_meaning_for_the_daemon(tmp_path, monkeypatch, unused_port):
    """The daemon stands in another folder than the command that starts it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CORRAL_HOME", "near")
    address = Address("127.0.0.1", unused_port)
    monkeypatch.setenv("CORRAL_HOST", str(address))
    launch.start(find_paths(), address, command=FAKE)
    assert (tmp_path / "near/run/daemon.json").exists()
    launch.client_for(find_paths(), address).shutdown()
    launch.wait_until_gone(address)


def test_a_daemon_that_another_one_follows_is_gone(place):
    """As with systemd's socket, which is listened at whether a daemon runs or not."""
    paths, address = place
    launch.start(paths, address, command=FAKE)
    asked = []
    launch.wait_until_gone(address, is_followed=lambda: len(asked) == 2 or asked.append(1))
    assert asked == [1, 1], "the one that answers is taken for the old one until it is another"
    with pytest.raises(DaemonError, match="has not ended within 0 s"):
        launch.wait_until_gone(address, 0.0)


def test_the_last_lines_are_the_last_ones(tmp_path):
    log = tmp_path / "log"
    assert launch.last_lines(log, 3) == []
    log.write_text("\n".join(f"line {n}" for n in range(100_000)))
    assert launch.last_lines(log, 2) == ["line 99998", "line 99999"]
    assert launch.last_lines(log, 0) == []
