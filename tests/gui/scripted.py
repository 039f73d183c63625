"""A daemon that says what a test tells it to, over real sockets."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue

from runner import __version__

MODEL = "scripted:latest"


def said(text: str, thinking: str = "") -> dict:
    """A line of an answer."""
    message = {"role": "assistant", "content": text}
    return {"message": message | ({"thinking": thinking} if thinking else {}), "done": False}


def end(reason: str = "stop", **figures) -> dict:
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
        jobs: What ``GET /api/jobs`` says.
        events: What ``GET /api/events`` tells, kinds and objects; ``None`` ends it.
        tells: Whether it has ``/api/events`` at all.
    """

    def __init__(self) -> None:
        self.answer: Callable[[dict], Iterator[dict]] = lambda _: iter([said("Hello"), end()])
        self.asked: list[dict] = []
        self.others: list[tuple[str, dict]] = []
        self.models = [MODEL]
        self.jobs: list[dict] = []
        self.is_loaded = False
        self.tells = False
        self.events: Queue[tuple[str, dict] | None] = Queue()
        self.left = threading.Event()  # a client left an answer before its end
        daemon = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"

            def do_GET(self):
                daemon.serve(self, {})

            def do_POST(self):
                n_bytes = int(self.headers.get("Content-Length") or 0)
                daemon.serve(self, json.loads(self.rfile.read(n_bytes) or b"{}"))

            do_DELETE = do_POST

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    def close(self) -> None:
        self.left.set()  # an answer without end ends too
        self.events.put(None)
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def serve(self, handler: BaseHTTPRequestHandler, body: dict) -> None:
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
            self.left.set()

    def tell(self, handler: BaseHTTPRequestHandler) -> None:
        """Send events as they are put into ``events``."""
        while self.tells and (event := self.events.get()) is not None:
            kind, value = event
            handler.wfile.write(f"event: {kind}\nid: 1\ndata: {json.dumps(value)}\n\n".encode())
            handler.wfile.flush()

    def lines(self, path: str, body: dict) -> Iterator[dict]:
        if path == "/api/version":
            yield {"version": "0.32.0", "corral": __version__}
        elif path == "/api/tags":
            yield {"models": [entry(name) for name in self.models]}
        elif path == "/api/ps":
            yield {"models": [RUNNING] if self.is_loaded else []}
        elif path == "/api/jobs":
            yield {"jobs": self.jobs}
        elif path == "/api/chat":
            self.asked.append(body)
            yield from self.answer(body)
        else:
            self.others.append((path, body))
            if path == "/api/pull":
                yield {"status": "copying", "total": 10, "completed": 5}
                self.models = [MODEL]
            yield {"status": "success", "unloaded": True}


def entry(name: str) -> dict:
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
