"""A loop on a thread of its own, and a listener that holds it to its two promises."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType

from runner.engine.backend import Backend, Vocabulary
from runner.engine.disk import DiskTier
from runner.engine.draft_model import DraftModel
from runner.engine.loop import Loop
from runner.protocol.messages import (
    AskCache,
    CacheState,
    ClearCache,
    Delta,
    Embed,
    Embedded,
    Failed,
    Generate,
    Inspected,
    Message,
    Outcome,
    Rerank,
    Shutdown,
    Started,
    Step,
    Tokenize,
    Tokenized,
)

DEADLINE_S = 60.0

#: How what was asked of a loop ends.
Ending = Outcome | Failed | Tokenized | Embedded | CacheState


class Running:
    """``with Running(...) as running``: a loop that is served until the block ends.

    Attributes:
        sent: All that the loop said, in order.
        texts: The text of each request so far.
        endings: How each request ended, by its id.
        started: What each sequence's prompt came to.
        told: Where requests stood, by the question's id.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        backend: Backend,
        *,
        n_host_bytes: int = 0,
        disk: DiskTier | None = None,
        draft: DraftModel | None = None,
    ) -> None:
        self.sent: list[Message] = []
        self.texts: dict[str, str] = {}
        self.endings: dict[str, Ending] = {}
        self.started: dict[str, Started] = {}
        self.told: dict[str, Inspected] = {}
        self._faults: list[BaseException] = []
        self._news = threading.Condition()
        self.loop = Loop(
            vocabulary, backend, self._hear, n_host_bytes=n_host_bytes, disk=disk, draft=draft
        )
        self._thread = threading.Thread(target=self._run, name="loop")

    def __enter__(self) -> Running:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.loop.receive(Shutdown())
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()
        if self._faults:
            raise self._faults[0]

    @property
    def n_steps(self) -> int:
        """Steps computed, as the loop tells."""
        return max((m.n_steps for m in list(self.sent) if isinstance(m, Step)), default=0)

    @property
    def has_ended(self) -> bool:
        """Whether the loop returned or failed."""
        return not self._thread.is_alive()

    def send(self, message: Message) -> None:
        """Say something to the loop."""
        self.loop.receive(message)

    def ask(self, request: Generate | Tokenize | Embed | Rerank | AskCache | ClearCache) -> Ending:
        """Send a request and return how it ended."""
        self.send(request)
        return self.ending(request.request_id)

    def ending(self, request_id: str) -> Ending:
        """Wait until a request has ended."""
        self.wait(lambda: request_id in self.endings)
        return self.endings[request_id]

    def ask_where(self, request_id: str) -> Inspected:
        """Wait until an ``Inspect`` that was sent is answered."""
        self.wait(lambda: request_id in self.told)
        return self.told[request_id]

    def wait_until(self, condition: Callable[[], object]) -> None:
        """Wait until ``condition`` holds, though the loop says nothing."""
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.005)

    def wait(self, condition: Callable[[], bool]) -> None:
        """Wait until ``condition`` holds, which is looked at whenever the loop says something."""
        with self._news:
            found = self._news.wait_for(lambda: self._faults or condition(), DEADLINE_S)
        if self._faults:
            raise self._faults[0]
        assert found, "waited in vain"

    def _run(self) -> None:
        try:
            self.loop.run()
        except BaseException as error:
            self._fault(error)
        with self._news:
            self._news.notify_all()

    def _fault(self, error: BaseException) -> None:
        with self._news:
            self._faults.append(error)
            self._news.notify_all()

    def _hear(self, message: Message) -> None:
        with self._news:
            self.sent.append(message)
            match message:
                case Started():
                    self._check_silent(message.request_id)
                    assert message.request_id not in self.started, "started twice"
                    self.started[message.request_id] = message
                case Step():
                    names = [delta.request_id for delta in message.deltas]
                    assert names, "a step with nothing to say"
                    assert len(set(names)) == len(names), "one delta a sequence"
                    for delta in message.deltas:
                        self._hear_delta(delta)
                case Tokenized() | Embedded() | Failed() | CacheState():
                    self._end(message.request_id, message)
                case Inspected():
                    self.told[message.request_id] = message
                case _:
                    raise AssertionError(f"the loop said {message}")
            self._news.notify_all()

    def _hear_delta(self, delta: Delta) -> None:
        self._check_silent(delta.request_id)
        assert delta.text or delta.finish or delta.prompt or delta.at, "a delta with nothing to say"
        delta.text.encode()  # whole characters
        self.texts[delta.request_id] = self.texts.get(delta.request_id, "") + delta.text
        if delta.text:
            assert delta.request_id in self.started, "text before the start"
        if delta.finish:
            self._end(delta.request_id, delta.finish)

    def _end(self, request_id: str, how: Ending) -> None:
        self._check_silent(request_id)
        self.endings[request_id] = how

    def _check_silent(self, request_id: str) -> None:
        assert request_id not in self.endings, f"{request_id} had ended"
