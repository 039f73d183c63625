"""The ``corral`` command against the real daemon, on pipes and on a terminal."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading

import pytest

from tests.real_daemon import command, environment, wait_for

pytestmark = pytest.mark.live

#: Gives a program the terminal on its standard input, as a shell does.
ON_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    "os.execv(sys.argv[1], sys.argv[1:])"
)


def corral(home, host, *words, timeout_s=60, **more):
    return subprocess.run(
        command(*words),
        env=environment(home, host),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        stdin=subprocess.DEVNULL,
        **more,
    )


@pytest.fixture
def free_address():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def own_home(tmp_path, free_address):
    """A home and an address without a daemon; one that was started there is ended."""
    home = tmp_path / "home"
    yield home, free_address
    corral(home, free_address, "daemon", "stop")


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, words, env):
        import pty

        self.fd, child = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", ON_TERMINAL, *words],
            stdin=child,
            stdout=child,
            stderr=child,
            env=env | {"TERM": "xterm"},
            start_new_session=True,
        )
        os.close(child)
        self.seen = ""
        self.thread = threading.Thread(target=self._read)
        self.thread.start()

    def _read(self):
        with contextlib.suppress(OSError):
            while chunk := os.read(self.fd, 4096):
                self.seen += chunk.decode(errors="replace")

    def type(self, text):
        os.write(self.fd, text.encode())

    def shows(self, text, after=0):
        """Wait for a text; returns where it ends."""
        wait_for(lambda: text in self.seen[after:], f"{text!r} in {self.seen[after:][-500:]!r}")
        return self.seen.index(text, after) + len(text)

    def close(self):
        self.process.kill()
        self.process.wait()
        self.thread.join()
        os.close(self.fd)


@pytest.fixture
def terminal(daemon):
    opened = []

    def open_(*words):
        opened.append(Terminal(command(*words), environment(daemon.home, daemon.address)))
        return opened[-1]

    yield open_
    for one in opened:
        one.close()


def test_an_answer_goes_to_stdout_alone(daemon):
    done = corral(daemon.home, daemon.address, "run", "tiny", "x", "-o", "stop=yz")
    assert done.returncode == 0
    assert done.stdout == "abcdefghijklmnopqrstuvwx\n"
    assert done.stderr == ""


def test_the_library_and_what_is_in_memory_as_json(daemon):
    corral(daemon.home, daemon.address, "run", "tiny", "x", "-o", "num_predict=1")
    for words in (("list", "--json"), ("ps", "--json"), ("show", "tiny", "--json")):
        done = corral(daemon.home, daemon.address, *words)
        assert done.returncode == 0, done.stderr
        assert "tiny" in json.dumps(json.loads(done.stdout))


def test_ctrl_c_ends_a_single_answer_and_frees_its_place(daemon):
    process = subprocess.Popen(
        command("run", "tiny", "x"),
        env=environment(daemon.home, daemon.address),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stdout.read(5)
        assert daemon.running("tiny")["n_active"] == 1
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130
    assert b"Traceback" not in said
    wait_for(lambda: daemon.running("tiny")["n_active"] == 0, "the sequence to be freed", 10)


@pytest.mark.skipif(sys.platform == "win32", reason="terminals differ there")
def test_ctrl_c_in_a_chat_stops_the_answer_and_not_the_chat(daemon, terminal):
    chat = terminal("run", "tiny")
    at = chat.shows(">>> ")
    for _ in range(2):
        chat.type("hello\r")
        at = chat.shows("abcdef", at)
        assert daemon.running("tiny")["n_active"] == 1
        chat.type("\x03")
        at = chat.shows(">>> ", at)
        wait_for(lambda: daemon.running("tiny")["n_active"] == 0, "the sequence to be freed", 10)
    chat.type("/bye\r")
    assert chat.process.wait(60) == 0
    assert "Traceback" not in chat.seen


@pytest.mark.skipif(sys.platform == "win32", reason="terminals differ there")
def test_a_worker_that_dies_under_a_chat_leaves_the_chat_usable(daemon, terminal):
    chat = terminal("run", "tiny")
    at = chat.shows(">>> ")
    chat.type("hello\r")
    at = chat.shows("abcdef", at)
    os.kill(daemon.running("tiny")["pid"], signal.SIGKILL)
    at = chat.shows("ended unexpectedly", at)
    at = chat.shows(">>> ", at)
    chat.type("\r")
    at = chat.shows("abcdef", at)
    chat.type("\x03")
    chat.shows(">>> ", at)


def test_a_daemon_that_dies_under_an_answer_is_an_error_in_words(own_daemon):
    process = subprocess.Popen(
        command("run", "tiny", "x"),
        env=environment(own_daemon.home, own_daemon.address),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.read(5)
        own_daemon.process.kill()
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 1
    assert said.count("error:") == 1
    assert "Traceback" not in said


def test_two_commands_at_once_start_one_daemon(own_home):
    home, address = own_home
    words = ("run", "smollm2", "Say hi.", "-o", "num_predict=3")
    started = [
        subprocess.Popen(
            command(*words),
            env=environment(home, address),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in started:
        answer, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
        assert answer.strip()
    log = (home / "logs" / "daemon.log").read_text()
    assert log.count("daemon.main serving ") == 1
    assert log.count("workers.pool loaded ") == 1
    assert "Traceback" not in log


def test_a_long_log_is_put_aside_when_the_daemon_starts(own_home):
    home, address = own_home
    (home / "logs").mkdir(parents=True)
    log = home / "logs" / "daemon.log"
    log.write_bytes(b"old\n" * 2_000_000)
    assert corral(home, address, "list").returncode == 0
    assert log.stat().st_size < 100_000
    assert (home / "logs" / "daemon.log.old").stat().st_size == 8_000_000


def test_list_imports_neither_server_nor_engine(daemon):
    script = (
        "import sys; from runner.cli.main import main; code = main(['corral', 'list']);"
        "print(*sys.modules, file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment(daemon.home, daemon.address),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0
    assert "tiny:latest" in done.stdout
    modules = set(done.stderr.split())
    for library in (
        "aiohttp",
        "msgspec",
        "llama_cpp",
        "numpy",
        "jinja2",
        "psutil",
        "prompt_toolkit",
    ):
        assert library not in modules
    for room in ("engine", "server", "service", "store", "workers", "daemon", "protocol"):
        assert f"runner.{room}" not in modules


def test_stopping_a_model_and_the_daemon_from_the_command_line(own_daemon):
    home, address = own_daemon.home, own_daemon.address
    assert corral(home, address, "run", "tiny", "x", "-o", "num_predict=2").returncode == 0
    assert own_daemon.running("tiny")
    assert corral(home, address, "stop", "tiny").returncode == 0
    assert not own_daemon.running("tiny")
    assert corral(home, address, "daemon", "stop").returncode == 0
    assert own_daemon.process.wait(60) == 0
