"""A real worker process and its pipe, as the daemon has them, without the daemon."""

from __future__ import annotations

import signal
import subprocess
import tempfile
import threading
from pathlib import Path
from queue import Empty, Queue
from types import TracebackType

from runner.paths import own_command
from runner.protocol.codec import FrameReader, encode
from runner.protocol.messages import (
    Delta,
    Failed,
    Generate,
    Load,
    Loaded,
    Loading,
    Message,
    Outcome,
    Started,
    Step,
)

DEADLINE_S = 60.0


class WorkerProcess:
    """``with WorkerProcess() as worker``: killed at the end, if it still lives.

    Attributes:
        process: The process; its stdin is the pipe down.
        stages: What it told of its load, in order.
        log: What it wrote to stderr, once it has ended.
    """

    def __init__(self, *, level: str = "info") -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self.process = subprocess.Popen(
            own_command("_worker", level),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            bufsize=0,
        )
        self.stages: list[Loading] = []
        self._messages: Queue[Message | None] = Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> WorkerProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(DEADLINE_S)
        self._reader.join(DEADLINE_S)
        for pipe in (self.process.stdin, self.process.stdout, self._log):
            pipe.close()

    @property
    def log(self) -> str:
        """All it logged so far."""
        self._log.seek(0)
        return self._log.read().decode()

    def write(self, raw: bytes) -> None:
        """Send bytes that need not be messages."""
        self.process.stdin.write(raw)

    def send(self, *messages: Message) -> None:
        """Send messages in one write."""
        self.write(b"".join(map(encode, messages)))

    def receive(self) -> Message:
        """The next message that tells no stage of a load.

        Raises:
            EOFError: The worker closed its end.
        """
        try:
            message = self._messages.get(timeout=DEADLINE_S)
        except Empty:
            raise AssertionError("the worker is silent") from None
        if message is None:
            raise EOFError(self.log)
        return message

    def load(
        self, path: Path, *, n_ctx: int = 1024, n_seq_max: int = 4, draft_path: str = ""
    ) -> Loaded:
        """Load a model and return the worker's answer."""
        sizes = (n_ctx, 2 * n_ctx, n_seq_max)
        self.send(Load("load", str(path), *sizes, n_threads=1, draft_path=draft_path))
        loaded = self.receive()
        assert isinstance(loaded, Loaded), loaded
        return loaded

    def ask(self, request: Generate) -> tuple[str, Outcome | Failed]:
        """Text and ending of a request, when it is the only one."""
        self.send(request)
        text = ""
        while True:
            match self.receive():
                case Failed() as failed:
                    return text, failed
                case Started(request_id=name):
                    assert name == request.request_id
                case Step(deltas=(Delta() as delta,)):
                    assert delta.request_id == request.request_id
                    text += delta.text
                    if delta.finish:
                        return text, delta.finish
                case other:
                    raise AssertionError(other)

    def close_pipe(self) -> None:
        """What the death of the daemon looks like from the worker."""
        self.process.stdin.close()

    def interrupt(self) -> None:
        """Ctrl-C in the daemon's terminal."""
        self.process.send_signal(signal.SIGINT)

    def wait(self) -> int:
        """Return the exit code, once it has ended by itself."""
        return self.process.wait(DEADLINE_S)

    def _read(self) -> None:
        reader = FrameReader()
        while chunk := self.process.stdout.read(1 << 16):
            for message in reader.feed(chunk):
                if isinstance(message, Loading):
                    self.stages.append(message)
                else:
                    self._messages.put(message)
        self._messages.put(None)
