"""A daemon takes the socket that whoever started it has opened, and lets nobody else in."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import urllib.request

import pytest

from runner.daemon.handed import address_of, take_socket
from runner.domain.address import parse_address
from runner.errors import InvalidRequest
from tests.real_daemon import command, environment, wait_for

#: Hands descriptor ``FD`` over as systemd does: as number 3, with the pid of what is started.
_HAND_OVER = """
import os, sys
fd, *words = sys.argv[1:]
os.dup2(int(fd), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(words[0], words)
"""


@pytest.fixture
def opened():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def serve_at(server, home, host):
    """A daemon that is handed ``server``."""
    fd = server.fileno()
    words = [sys.executable, "-c", _HAND_OVER, str(fd), *command("serve")]
    log = home.parent / "daemon.log"
    with log.open("ab") as out:
        return subprocess.Popen(words, env=environment(home, host), pass_fds=[fd, 3], stderr=out)


def test_a_request_that_came_before_the_daemon_is_answered(tmp_path, opened):
    """The place is taken the whole time: who asks while nobody serves yet waits for the answer."""
    port = opened.getsockname()[1]
    waiting = socket.create_connection(("127.0.0.1", port))
    waiting.sendall(b"GET /api/version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    home = tmp_path / "home"
    daemon = serve_at(opened, home, "127.0.0.1")
    try:
        with waiting.makefile("rb") as answer:
            assert b"200 OK" in answer.readline()
        wait_for(lambda: (home / "run" / "daemon.json").exists(), "daemon.json")
        assert f":{port}" in (home / "run" / "daemon.json").read_text()
    finally:
        waiting.close()
        daemon.terminate()
        assert daemon.wait(60) == 0
    opened.settimeout(1)  # it is still open for the next daemon
    assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)


def test_the_next_daemon_takes_the_same_socket(tmp_path, opened):
    url = f"http://127.0.0.1:{opened.getsockname()[1]}/api/version"
    for _ in range(2):
        daemon = serve_at(opened, tmp_path / "home", "127.0.0.1")
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                assert answer.status == 200
        finally:
            daemon.terminate()
            assert daemon.wait(60) == 0


def test_a_socket_for_other_machines_needs_settings_that_say_so(tmp_path):
    with socket.create_server(("0.0.0.0", 0)) as server:
        daemon = serve_at(server, tmp_path / "home", "127.0.0.1")
        assert daemon.wait(60) == 1
    said = (tmp_path / "daemon.log").read_text()
    assert "for other machines, but CORRAL_HOST is 127.0.0.1:11434" in said


def test_the_address_is_the_sockets_own(opened):
    port = opened.getsockname()[1]
    assert address_of(opened, parse_address("127.0.0.1:9")).port == port
    https = address_of(opened, parse_address("https://127.0.0.1:9"))
    assert str(https) == f"https://127.0.0.1:{port}"
    with socket.create_server(("0.0.0.0", 0)) as server:
        assert not address_of(server, parse_address("0.0.0.0:9")).is_loopback
        with pytest.raises(InvalidRequest, match="for other machines"):
            address_of(server, parse_address("127.0.0.1:9"))


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no such sockets here")
def test_a_socket_in_the_file_system_is_known_by_its_path(tmp_path):
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        assert address_of(server, parse_address("127.0.0.1:9")).url == f"unix://{path}"


@pytest.mark.parametrize(
    "told",
    [{}, {"LISTEN_PID": "1", "LISTEN_FDS": "1"}, {"LISTEN_PID": str(os.getpid())}],
    ids=["nothing", "for another process", "none"],
)
def test_nothing_is_taken_that_is_not_for_this_process(told):
    environ = dict(told)
    assert take_socket(environ) is None
    assert environ == {}


def test_several_sockets_are_refused_with_their_number():
    with pytest.raises(InvalidRequest, match="2 sockets were handed over"):
        take_socket({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2"})
