"""A daemon that says what a test tells it to, over real sockets."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from typing import Any

from runner import __version__
from tests.fakes.keeping import MACHINE

MODEL = "scripted:latest"


def said(text: str, thinking: str = "") -> dict[str, Any]:
    """A line of an answer."""
    message = {"role": "assistant", "content": text}
    return {"message": message | ({"thinking": thinking} if thinking else {}), "done": False}


def end(reason: str = "stop", **figures: object) -> dict[str, Any]:
    """The last line of an answer."""
    return {
        "message": {"role": "assistant", "content": ""},
        "done": True,
        "done_reason": reason,
        "prompt_eval_count": 20,
        "eval_count": 5,
        "eval_duration": 10**9,
        **figures,
    }


class ScriptedDaemon:
    """Serves while it is open.

    Attributes:
        answer: What a chat's answer is made of, by the body of the request.
        asked: Bodies of the chats so far.
        models: Names in the library.
        abilities: What all of them can do.
        jobs: What ``GET /api/jobs`` says.
        events: What ``GET /api/events`` tells, kinds and objects; ``None`` ends it.
        tells: Whether it has ``/api/events`` at all.
    """

    def __init__(self, poll_s: float = 0.02) -> None:
        """``poll_s``: how often it looks whether it shall end."""
        self.answer: Callable[[dict[str, Any]], Iterator[dict[str, Any]]] = lambda _: iter(
            [said("Hello"), end()]
        )
        self.asked: list[dict[str, Any]] = []
        self.others: list[tuple[str, dict[str, Any]]] = []
        self.models = [MODEL]
        self.abilities = ["completion"]
        self.jobs: list[dict[str, Any]] = []
        self.is_loaded = False
        self.tells = False
        self.events: Queue[tuple[str, dict[str, Any]] | None] = Queue()
        self.left = threading.Event()  # a client left an answer before its end
        daemon = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"

            def do_GET(self) -> None:
                daemon.serve(self, {})

            def do_POST(self) -> None:
                n_bytes = int(self.headers.get("Content-Length") or 0)
                daemon.serve(self, json.loads(self.rfile.read(n_bytes) or b"{}"))

            do_DELETE = do_POST

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(poll_s,))
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def close(self) -> None:
        self.left.set()  # an answer without end ends too
        self.events.put(None)
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def serve(self, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        handler.send_response(404 if handler.path == "/api/events" and not self.tells else 200)
        handler.send_header("X-Corral-Version", __version__)
        handler.end_headers()
        try:
            if handler.path == "/api/events":
                self.tell(handler)
                return
            for line in self.lines(handler.path, body):
                handler.wfile.write(json.dumps(line).encode() + b"\n")
                handler.wfile.flush()
        except OSError:
            if handler.path == "/api/chat":
                self.left.set()

    def tell(self, handler: BaseHTTPRequestHandler) -> None:
        """Send events as they are put into ``events``."""
        while self.tells and (event := self.events.get()) is not None:
            kind, value = event
            handler.wfile.write(f"event: {kind}\nid: 1\ndata: {json.dumps(value)}\n\n".encode())
            handler.wfile.flush()

    def begun(self, body: dict[str, Any]) -> dict[str, Any]:
        """The job that a request begins."""
        self.others.append(("/api/jobs", body))
        job = {"id": 1, "kind": body["kind"], "name": body["model"]}
        return job | {"state": "queued", "started": "2026-01-01T00:00:00Z"}

    def lines(self, path: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if path == "/api/version":
            yield {"version": "0.32.0", "corral": __version__}
        elif path == "/api/tags":
            told = {"capabilities": self.abilities}
            yield {"models": [entry(name) | told for name in self.models]}
        elif path == "/api/ps":
            yield {"models": [RUNNING] if self.is_loaded else []}
        elif path == "/api/jobs":
            yield self.begun(body) if body else {"jobs": self.jobs}
        elif path.startswith("/api/search"):
            yield {"models": [], "errors": []}
        elif path == "/api/machine":
            card = {"vendor": "AMD", "needs": "the Vulkan SDK", "command": "make gpu"}
            yield MACHINE | {"unused_cards": [card]}
        elif path == "/api/requests":
            yield {"requests": []}
        elif path == "/api/chat":
            self.asked.append(body)
            yield from self.answer(body)
        else:
            self.others.append((path, body))
            if path == "/api/pull":
                yield {"status": "copying", "total": 10, "completed": 5}
                self.models = [MODEL]
            yield {"status": "success", "unloaded": True}


def entry(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "digest": "0" * 64,
        "size": 5,
        "modified_at": "2026-01-01T00:00:00Z",
        "details": {"family": "llama"},
        "capabilities": ["completion"],
    }


#: The line of ``GET /api/ps``.
RUNNING = {**entry(MODEL), "context_length": 4096, "n_active": 0}
