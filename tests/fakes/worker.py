"""A worker process without a model: speaks the protocol honestly, and misbehaves when told to.

How it loads is told by files beside ``Load.path``, how a request goes by its prompt:

    PATH.wait       it loads for as long as this file is there
    PATH.refuse     it refuses to load; what is in the file is its reason
    PATH.die        it dies while it loads
    PATH.lose       it loses a device while it loads
    PATH.killed     it is killed while it loads more cells than this file says; PATH.segfault: it
                    dies of a bad address; PATH.memory: it says that there is no memory
    PATH.garbage    it answers with what is no frame
    PATH.retire     it ends in good order before it hears its next request; the file goes with it
    PATH.stubborn   it ends neither by ``Shutdown`` nor by the end of its pipe

    say 3           three pieces of text, then the end
    write A|B       says B in pieces of three characters; its template ended with A
    (anything)      one piece after the other, up to ``max_tokens`` or ``Abort``
    hang            one piece, then nothing until ``Abort``; of texts to embed, nothing at all
    die             one piece, then the process kills itself
    crash           as llama.cpp ends when a check of its own fails
    starve          no memory for its prompt while the cache holds more than one context; else two
                    pieces; of texts to embed, one like the others
    lose            it ends as it does when a device of another machine is lost
    refuse          fails as a prompt that is too long does
    long 5000       fails as one of so many tokens does, where the context holds fewer
    garbage         one piece, then what is no frame

It writes what it hears to ``PATH.log``.
"""

from __future__ import annotations

import math
import os
import queue
import signal
import struct
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from runner.domain.event import FinishReason
from runner.domain.running import RequestState
from runner.errors import DeadlineExceeded, NotEnoughMemory, PromptTooLong
from runner.protocol.codec import FrameReader, encode
from runner.protocol.messages import (
    LOST_DEVICE,
    Abort,
    AskCache,
    CacheState,
    ClearCache,
    Delta,
    Detokenize,
    Embed,
    Embedded,
    Failed,
    Generate,
    Inspect,
    Inspected,
    Load,
    Loaded,
    Outcome,
    Place,
    Render,
    Rerank,
    Shutdown,
    Started,
    Step,
    StoredPrompt,
    Tokenize,
    Tokenized,
    UseThreads,
)

ROOT = Path(__file__).parents[2]
#: How a pool starts one, wherever it stands.
COMMAND = [
    sys.executable,
    "-P",
    "-c",
    f"import sys; sys.path.insert(0, {str(ROOT)!r}); from tests.fakes import worker; worker.main()",
]

_PIPE_OUT = 1
_PACE_S = 0.002  # between two steps


@dataclass
class _Running:
    """A request that is being answered."""

    n_left: int | None  # pieces; None: no end of its own
    reason: FinishReason
    ends_s: float = math.inf  # its deadline, by the clock of ``time.monotonic``
    hangs: bool = False
    n_said: int = 0


class FakeWorker:
    """One model's process."""

    def __init__(self) -> None:
        self.inbox: queue.SimpleQueue = queue.SimpleQueue()
        self.running: dict[str, _Running] = {}
        self.embedding: set[str] = set()
        self.n_steps = self.n_tokens = 0
        self.load: Load | None = None
        #: What it says that it keeps in memory, until it is cleared.
        self.prompts = (StoredPrompt("a", 300, 30, 1.0, 4.0), StoredPrompt("b", 200, 20, 2.0, 3.0))
        threading.Thread(target=self.read, daemon=True).start()

    def read(self) -> None:
        reader = FrameReader()
        while chunk := os.read(0, 1 << 16):
            for message in reader.feed(chunk):
                if isinstance(message, Load):
                    self.load = message
                if isinstance(message, Shutdown):
                    self.note("shutdown")
                self.inbox.put(message)
        if not self.has("stubborn"):
            os._exit(0)

    def has(self, mark: str) -> bool:
        return self.load is not None and Path(f"{self.load.path}.{mark}").exists()

    def fails_with(self, load: Load) -> bool:
        """Whether it refuses so many cells; it may not live to say so."""
        for mark in ("killed", "segfault", "memory"):
            path = Path(f"{load.path}.{mark}")
            if not path.exists() or load.n_cells <= int(path.read_text()):
                continue
            if mark == "memory":
                error = NotEnoughMemory("no memory for the cache", hint="take less")
                self.send(Failed(load.request_id, error.code, error.message, error.hint))
                return True
            os.kill(os.getpid(), signal.SIGKILL if mark == "killed" else signal.SIGSEGV)
        return False

    def note(self, text: str) -> None:
        with Path(f"{self.load.path}.log").open("a") as file:
            file.write(f"{os.getpid()} {text}\n")

    def send(self, message) -> None:
        frame = encode(message)
        while frame:
            frame = frame[os.write(_PIPE_OUT, frame) :]

    def run(self) -> int:
        load = self.inbox.get()
        self.note(f"load {load.n_ctx}")
        if self.has("garbage"):
            os.write(_PIPE_OUT, b"\xff" * 64)
            time.sleep(60)
        while self.has("wait"):
            time.sleep(_PACE_S)
        if self.has("die"):
            os._exit(3)
        if self.has("lose"):
            lose()
        if self.fails_with(load):
            return 1
        if self.has("refuse"):
            reason = Path(f"{load.path}.refuse").read_text()
            line = "2026-01-02T03:04:05.678Z ERROR engine.llama.library llama.cpp: "
            log(f"{line}{reason}\n{line}failed to load model")
            self.send(Failed(load.request_id, "worker_failed", "could not load the model", "see"))
            return 1
        self.send(Loaded(load.request_id, load.n_ctx, load.n_cells, load.n_threads))
        while True:
            try:
                message = self.inbox.get(timeout=_PACE_S if self.running else None)
            except queue.Empty:
                self.step()
                continue
            if isinstance(message, Shutdown) and not self.has("stubborn"):
                return 0
            self.take(message)

    def take(self, message) -> None:
        match message:
            case Generate():
                if self.has("retire"):
                    Path(f"{self.load.path}.retire").unlink()
                    os._exit(0)
                self.note("generate")
                self.note(f"owner {message.terms.owner_id or '-'}")
                self.generate(message)
            case Embed():
                if self.has("retire"):
                    Path(f"{self.load.path}.retire").unlink()
                    os._exit(0)
                self.note(f"embed {message.n_ctx}")
                if message.terms.deadline_s is not None:
                    self.note(f"deadline {message.terms.deadline_s}")
                self.embed(message)
            case Rerank():
                scores = [struct.pack("<f", len(text)) for text in message.documents]
                self.vectors(message.request_id, scores, 1, [1] * len(scores))
            case Abort():
                self.note("abort")
                if message.request_id in self.embedding:
                    self.embedding.discard(message.request_id)
                    self.send(Failed(message.request_id, "worker_failed", "aborted"))
                if self.running.pop(message.request_id, None):
                    self.tell(Delta(message.request_id, "", outcome(FinishReason.ABORTED, 0)))
            case _:
                self.answer(message)

    def answer(self, message) -> None:
        match message:
            case Inspect():
                places = (
                    Place(name, RequestState.GENERATING, 0, 7, 3, run.n_said)
                    for name, run in self.running.items()
                )
                self.send(Inspected(message.request_id, tuple(places)))
            case AskCache():
                self.send(CacheState(message.request_id, 7, 50, self.prompts))
            case ClearCache():
                self.note(f"clear {message.owner_id} {message.keeps}")
                self.prompts = tuple(
                    p for p in self.prompts if message.owner_id not in (None, p.owner_id)
                )
                n_bytes = sum(p.n_bytes for p in self.prompts)
                self.send(CacheState(message.request_id, 0, n_bytes, self.prompts))
            case UseThreads():
                self.note(f"threads {message.n}")
            case Tokenize() | Detokenize() | Render():
                self.spell(message)

    def spell(self, message) -> None:
        """Every byte is a token."""
        match message:
            case Tokenize():
                self.send(Tokenized(message.request_id, tuple(message.text.encode())))
            case Detokenize():
                text = bytes(message.tokens).decode()
                self.send(Tokenized(message.request_id, message.tokens, text))
            case Render():
                asked = message.generate
                text = asked.prompt or asked.messages[-1].content
                self.send(Tokenized(message.request_id, tuple(text.encode()), text))

    def embed(self, request: Embed) -> None:
        """Two numbers for each input: its length and the dimensions asked for."""
        if "refuse" in request.inputs:
            error = PromptTooLong(6, 4)
            self.send(Failed(request.request_id, error.code, error.message, error.hint))
            return
        if "die" in request.inputs:
            os.kill(os.getpid(), signal.SIGKILL)
        if "starve" in request.inputs and self.starves(request.request_id):
            return
        self.embedding.add(request.request_id)
        if "hang" in request.inputs:
            return
        lengths = [len(text) for text in request.inputs]
        rows = [struct.pack("<2f", n, request.n_dimensions or 0) for n in lengths]
        self.vectors(request.request_id, rows, 2, lengths)

    def vectors(self, request_id: str, rows: list[bytes], width: int, lengths: list[int]) -> None:
        self.embedding.discard(request_id)
        told = Embedded(request_id, tuple(rows), width, tuple(lengths), (), 0.001)
        self.send(told)

    def generate(self, request: Generate) -> None:
        prompt = request.prompt or request.messages[-1].content
        if self.refuses(request, prompt):
            return
        tail, _, text = prompt.removeprefix("write ").partition("|")
        if not prompt.startswith("write "):
            tail = text = ""
        self.send(Started(request.request_id, len(prompt), 0, tail=tail))
        self.note_request(request)
        if prompt == "starve" and self.starves(request.request_id):
            return
        if text:
            self.write(request, text)
            return
        run = _Running(request.max_tokens, FinishReason.LENGTH)
        if prompt.startswith("say "):
            run = _Running(int(prompt.split()[1]), FinishReason.STOP)
        if prompt == "starve":
            run = _Running(2, FinishReason.STOP)
        if prompt in ("hang", "die", "crash", "lose", "garbage"):
            self.tell(Delta(request.request_id, "so "))
            run.hangs = True
        if request.terms.deadline_s is not None:
            run.ends_s = time.monotonic() + request.terms.deadline_s
        self.running[request.request_id] = run
        break_down(prompt)

    def starves(self, request_id: str) -> bool:
        """Whether it fails for want of memory, which less would help."""
        if self.load.n_cells <= self.load.n_ctx:
            return False
        error = NotEnoughMemory("no memory to compute this step", hint="take less")
        self.send(Failed(request_id, error.code, error.message, error.hint))
        return True

    def refuses(self, request: Generate, prompt: str) -> bool:
        """Whether the prompt is too long, or is said to be."""
        n = int(prompt.split()[1]) if prompt.startswith("long ") else 0
        if prompt != "refuse" and n < self.load.n_ctx:
            return False
        error = PromptTooLong(n or len(prompt), self.load.n_ctx if n else 4)
        told = (error.code, error.message, error.hint)
        self.send(Failed(request.request_id, *told, n_needed=n))
        return True

    def note_request(self, request: Generate) -> None:
        """What was asked beside the messages."""
        tools = ",".join(tool.name for tool in request.tools)
        self.note(f"asked tools={tools} think={request.think} keeps={len(request.keeps_control)}")

    def write(self, request: Generate, text: str) -> None:
        pieces = [text[at : at + 3] for at in range(0, len(text), 3)]
        for piece in pieces:
            self.tell(Delta(request.request_id, piece))
        self.tell(Delta(request.request_id, "", outcome(FinishReason.STOP, len(pieces))))

    def step(self) -> None:
        """One piece for every request that goes on."""
        deltas = []
        for request_id, run in list(self.running.items()):
            if time.monotonic() >= run.ends_s:
                del self.running[request_id]
                self.send(Failed(request_id, DeadlineExceeded.code, "the deadline passed", "wait"))
                continue
            if run.hangs:
                continue
            run.n_said += 1
            is_over = run.n_left is not None and run.n_said >= run.n_left
            end = outcome(run.reason, run.n_said) if is_over else None
            deltas.append(Delta(request_id, f"{run.n_said} ", end))
            if is_over:
                del self.running[request_id]
        if deltas:
            self.tell(*deltas)

    def tell(self, *deltas: Delta) -> None:
        self.n_steps += 1
        self.n_tokens += len(deltas)
        self.send(Step(deltas, self.n_steps, self.n_tokens))


def break_down(how: str) -> None:
    """End, or lose one's mind, in one of the ways that prompts ask for."""
    match how:
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "lose":
            lose()
        case "crash":
            log("/src/ggml.c:42: GGML_ASSERT(n > 0) failed")
            os.abort()
        case "garbage":
            os.write(_PIPE_OUT, b"\x03\x00\x00\x00abc" * 3)


def lose() -> None:
    """End as ``runner.engine.remote`` does."""
    log(f"{LOST_DEVICE}10.0.0.5:11435")
    os._exit(1)


def log(text: str) -> None:
    os.write(2, f"{text}\n".encode())


def outcome(reason: FinishReason, n_generated: int) -> Outcome:
    return Outcome(reason, n_generated, prompt_s=0.001, decode_s=0.002)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    code = FakeWorker().run()
    sys.stderr.flush()
    os._exit(code)
