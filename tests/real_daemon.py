"""The real daemon as a process of its own, and a plain client that sees every byte."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass
class Reply:
    """A whole answer."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def lines(self) -> list:
        """Objects of an NDJSON stream."""
        assert self.body.endswith(b"\n")
        return [json.loads(line) for line in self.body.splitlines()]

    @property
    def frames(self) -> list:
        """Objects of an SSE stream; ``[DONE]`` stays a word."""
        frames = self.body.decode().split("\n\n")
        assert frames.pop() == ""
        texts = [frame.removeprefix("data: ") for frame in frames]
        return [text if text == "[DONE]" else json.loads(text) for text in texts]


class Answer:
    """An answer that is still coming."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self.connection = connection
        self.response = connection.getresponse()
        self.status = self.response.status

    def line(self) -> bytes:
        """The next line that is not empty."""
        while (line := self.response.readline()) == b"\n":
            pass
        return line

    def rest(self) -> list[bytes]:
        return [line for line in self.response.read().split(b"\n") if line]

    def leave(self) -> None:
        """Close the connection as a client does that has seen enough."""
        self.response.close()
        self.connection.close()


def environment(home: Path, host: str, **more: str) -> dict[str, str]:
    """The environment of a program of ours, with none of the user's settings."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("CORRAL_", "OLLAMA_"))}
    own = {"CORRAL_HOME": str(home), "CORRAL_HOST": host, "PYTHONPATH": str(ROOT)}
    # Threads of one step wait for each other: on cores that others use as well, one is fastest.
    own |= {"CORRAL_NUM_THREAD": "1"}
    return clean | own | more


def command(*words: str) -> list[str]:
    return [sys.executable, "-P", "-m", "runner", *words]


class RealDaemon:
    """One daemon on one home; ``start`` returns when it serves.

    Args:
        home: Its CORRAL_HOME.
        host: Its CORRAL_HOST; port 0 takes a free one.
        env: More of its environment.

    Attributes:
        answers_s: Seconds that ``ask`` and ``send`` wait for news of an answer.
    """

    answers_s = 60.0

    def __init__(self, home: Path, *, host: str = "127.0.0.1:0", **env: str) -> None:
        self.home = home
        self.env = environment(home, host, **env)
        self.process: subprocess.Popen | None = None
        self.record: dict = {}

    def start(self) -> RealDaemon:
        self.spawn()
        wait_for(lambda: self.file.exists() or self.process.poll() is not None, "daemon.json")
        assert self.process.poll() is None, self.log
        self.record = json.loads(self.file.read_text())
        return self

    def spawn(self) -> subprocess.Popen:
        self.home.mkdir(parents=True, exist_ok=True)
        self.file.unlink(missing_ok=True)
        with (self.home / "daemon.out").open("ab") as out:
            self.process = subprocess.Popen(
                command("serve"),
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        return self.process

    @property
    def file(self) -> Path:
        return self.home / "run" / "daemon.json"

    @property
    def log(self) -> str:
        return (self.home / "daemon.out").read_text()

    @property
    def port(self) -> int:
        return int(self.record["address"].rpartition(":")[2])

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    @property
    def pid(self) -> int:
        return self.process.pid

    def stop(self, timeout_s: float = 60.0) -> int:
        """Ask it to end; return its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def __enter__(self) -> RealDaemon:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def ask(self, method: str, path: str, body=None, *, raw=None, owner=False) -> Reply:
        """One request and its whole answer."""
        with contextlib.closing(self.send(method, path, body, raw=raw, owner=owner)) as connection:
            response = connection.getresponse()
            return Reply(response.status, response.headers, response.read())

    @contextlib.contextmanager
    def stream(self, path: str, body) -> Iterator[Answer]:
        """An answer to read piece by piece; leaving the block leaves the answer."""
        answer = Answer(self.send("POST", path, body))
        try:
            yield answer
        finally:
            answer.leave()

    def send(self, method, path, body=None, *, raw=None, owner=False) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.answers_s)
        headers = {"Authorization": f"Bearer {self.record['token']}"} if owner else {}
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        connection.request(method, path, body=data, headers=headers)
        return connection

    def take_in(self, path: Path, name: str) -> None:
        """Import a model file."""
        reply = self.ask("POST", "/api/pull", {"path": str(path), "model": name}, owner=True)
        assert reply.lines[-1]["status"] == "success", reply.body

    def running(self, name: str) -> dict:
        """The line of a model in ``/api/ps``; empty when it is not in memory."""
        rows = self.ask("GET", "/api/ps").json["models"]
        return next((row for row in rows if row["name"].startswith(name)), {})


def wait_for(condition, what: str, timeout_s: float = 60.0):
    """Return what ``condition`` returns once that is true."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.01)
    return value
