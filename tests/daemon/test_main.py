"""``corral serve`` as a process: how it starts, what it refuses, how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import psutil
import pytest

from runner import __version__
from tests.real_daemon import RealDaemon, command, environment, wait_for

MOST_RESIDENT = 80 * 1024 * 1024  # bytes, with no model loaded


def serve_in_vain(home, host, **env):
    """Run a daemon that cannot start; return its exit code and what it said."""
    done = subprocess.run(
        command("serve"),
        env=environment(home, host, **env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    return done.returncode, done.stderr


@contextmanager
def somebody(answer: bytes, **headers):
    """Another program that serves HTTP; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(b'{"version":"0.12.3"}' if "version" in self.path else answer)

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    """One that every test leaves as it was."""
    with RealDaemon(tmp_path_factory.mktemp("standing") / "home") as daemon:
        yield daemon


def test_it_serves_on_a_free_port_and_says_where(daemon):
    assert daemon.port > 0
    assert daemon.ask("GET", "/").body == b"Ollama is running"
    assert daemon.ask("GET", "/api/version").json["corral"] == __version__
    assert daemon.record["pid"] == daemon.pid
    assert f"serving address={daemon.address}" in daemon.log


@pytest.mark.skipif(sys.platform == "win32", reason="no modes there")
def test_its_record_is_its_owners_and_goes_with_it(make_daemon):
    daemon = make_daemon().start()
    assert stat.S_IMODE(daemon.file.stat().st_mode) == 0o600
    assert len(daemon.record["token"]) >= 32
    assert daemon.stop() == 0
    assert not daemon.file.exists()


def test_the_token_is_not_logged(make_daemon):
    daemon = make_daemon(CORRAL_LOG_LEVEL="debug").start()
    daemon.ask("POST", "/api/pull", {"path": "/nowhere.gguf"}, owner=True)
    daemon.stop()
    assert daemon.record["token"] not in daemon.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(make_daemon, number):
    daemon = make_daemon().start()
    daemon.process.send_signal(number)
    assert daemon.process.wait(60) == 0
    assert "shutting down" in daemon.log
    assert "Traceback" not in daemon.log


def test_its_owner_alone_may_end_it(make_daemon):
    daemon = make_daemon().start()
    assert daemon.ask("POST", "/api/shutdown").status == 403
    assert daemon.ask("POST", "/api/shutdown", owner=True).status == 200
    assert daemon.process.wait(60) == 0


def test_a_second_daemon_of_the_same_home_is_refused(make_daemon, tmp_path):
    daemon = make_daemon().start()
    code, said = serve_in_vain(tmp_path / "home", "127.0.0.1:0")
    assert code == 1
    assert "already runs for this home" in said
    assert str(daemon.pid) in said
    assert daemon.address in said
    assert daemon.ask("GET", "/health").status == 200
    assert json.loads(daemon.file.read_text()) == daemon.record


def test_a_killed_daemon_is_followed_by_another_on_the_same_home(make_daemon):
    daemon = make_daemon().start()
    daemon.process.kill()
    daemon.process.wait()
    assert daemon.file.exists()  # it could not tidy up
    again = make_daemon().start()
    assert again.ask("GET", "/health").status == 200


def test_a_port_that_ollama_has_is_named_with_it(tmp_path):
    with somebody(b"Ollama is running") as address:
        code, said = serve_in_vain(tmp_path, address)
    assert code == 1
    assert f"{address} is taken: Ollama answers there" in said
    assert "CORRAL_HOST=" in said


def test_a_port_that_a_stranger_has_is_named(tmp_path):
    with somebody(b"hello") as address:
        code, said = serve_in_vain(tmp_path, address)
    assert code == 1
    assert f"{address} is taken: another program answers there" in said


def test_a_port_whose_owner_never_answers_is_named(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        code, said = serve_in_vain(tmp_path, address)
    assert code == 1
    assert f"{address} is taken: another program answers there" in said


def test_a_port_that_another_corral_has_is_named_with_its_version(make_daemon, tmp_path):
    daemon = make_daemon().start()
    code, said = serve_in_vain(tmp_path / "other", daemon.address)
    assert code == 1
    assert f"another Corral daemon (version {__version__})" in said


def test_the_hint_names_a_port_that_is_not_the_taken_one(tmp_path):
    with somebody(b"hello") as address:
        _, said = serve_in_vain(tmp_path, address)
    assert f"CORRAL_HOST={address}" not in said


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("CORRAL_HOST", "127.0.0.1:99999", "CORRAL_HOST: bad port"),
        ("CORRAL_HOST", "[::1", "CORRAL_HOST: "),
        ("CORRAL_HOST", "no.such.host.invalid:0", "cannot listen on no.such.host.invalid"),
        ("CORRAL_HOST", "x" * 70, "cannot listen on xxx"),
        ("CORRAL_HOST", "192.0.2.1:0", "cannot listen on 192.0.2.1"),
        ("CORRAL_KEEP_ALIVE", "soon", "CORRAL_KEEP_ALIVE: "),
        ("CORRAL_NUM_PARALLEL", "0", "must be from 1 to 256, not 0"),
        ("CORRAL_LOG_LEVEL", "loud", "CORRAL_LOG_LEVEL: "),
        ("OLLAMA_KEEP_ALIVE", "x", "OLLAMA_KEEP_ALIVE: "),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(tmp_path, name, value, said):
    env = {"host": "127.0.0.1:0", "CORRAL_INSECURE_NO_KEY": "1"} | {name: value}
    code, words = serve_in_vain(tmp_path, **env)
    assert code == 1
    assert words.startswith("error: ")
    assert said in words


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"num_parallel = 'many'", "config.toml: num_parallel"),
        (b"= = =", "config.toml"),
        (b"\xff\xfe\x00", "config.toml"),
    ],
)
def test_a_settings_file_that_makes_no_sense_is_named(tmp_path, content, said):
    (tmp_path / "config.toml").write_bytes(content)
    code, words = serve_in_vain(tmp_path, "127.0.0.1:0")
    assert code == 1
    assert said in words


def test_a_home_that_is_no_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    code, words = serve_in_vain(tmp_path / "file", "127.0.0.1:0")
    assert code == 1
    assert str(tmp_path / "file") in words


def test_a_word_too_many_is_refused():
    done = subprocess.run(command("serve", "please"), capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "please" in done.stderr


def test_a_wildcard_address_is_recorded_as_one_to_connect_to_and_warned_of(make_daemon):
    daemon = make_daemon(host="0.0.0.0:0", CORRAL_INSECURE_NO_KEY="1").start()
    assert daemon.record["address"] == daemon.address
    wait_for(lambda: "other machines can reach" in daemon.log, "the warning")
    connection = daemon.send("GET", "/health")
    assert connection.getresponse().status == 200
    connection.close()


def test_on_loopback_there_is_no_such_warning(daemon):
    assert daemon.ask("GET", "/health").status == 200
    assert "other machines" not in daemon.log


def test_what_is_no_http_costs_one_line_of_the_log(daemon):
    for junk in (
        b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"nonsense\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", daemon.port), timeout=60) as sock:
            sock.sendall(junk)
            assert b" 400 " in sock.recv(4096).partition(b"\r\n")[0]
    assert daemon.ask("GET", "/health").status == 200
    assert "Traceback" not in daemon.log
    assert 1 <= daemon.log.count("refused what is no HTTP") <= 3


def test_an_idle_daemon_is_small_and_sleeps(daemon):
    daemon.ask("GET", "/api/tags")
    process = psutil.Process(daemon.pid)
    assert process.memory_info().rss <= MOST_RESIDENT
    before = process.cpu_times()
    with pytest.raises(subprocess.TimeoutExpired):
        daemon.process.wait(5)  # it does nothing meanwhile
    after = process.cpu_times()
    assert after.user + after.system - before.user - before.system <= 0.1


def test_it_keeps_no_engine_in_memory(daemon):
    maps = [os.path.basename(m.path) for m in psutil.Process(daemon.pid).memory_maps()]  # noqa: PTH119
    assert not [name for name in maps if "llama" in name or "ggml" in name]


def test_a_connection_left_open_does_not_hold_it_up(make_daemon):
    daemon: RealDaemon = make_daemon().start()
    with socket.create_connection(("127.0.0.1", daemon.port)) as sock:
        sock.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200" in sock.recv(4096)
        with socket.create_connection(("127.0.0.1", daemon.port)) as half:
            half.sendall(
                b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{"
            )
            daemon.process.terminate()
            assert daemon.process.wait(60) == 0
