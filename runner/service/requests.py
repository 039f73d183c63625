"""The requests that are being answered or wait for it: listed, cancelled, held to their deadline.

Each answer is an ``Ongoing`` from its arrival to its end.  Until its worker has it, its deadline
and its cancelling end the waiting from here; afterwards they are the worker's, which frees its
place at the same moment.  Used from the event loop's thread only.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace

from runner.domain.name import ModelName
from runner.domain.request import EmbedRequest, InferenceRequest, RerankRequest, Terms
from runner.domain.running import RequestState, RunningRequest
from runner.errors import Cancelled, CorralError, DeadlineExceeded, RequestNotFound
from runner.protocol.messages import Inspect, Inspected, Place
from runner.workers.process import Worker, new_request_id

#: What can be on its way.
Asked = InferenceRequest | EmbedRequest | RerankRequest

#: Seconds that a worker may take to say where its requests stand; its longest step takes about one.
_INSPECT_S = 5.0


@dataclass(slots=True, eq=False)
class Ongoing:
    """One request on its way.

    Attributes:
        id: What it is listed and cancelled by.
        request: What was asked.
        arrived_s: When, on the clock of ``time.monotonic``.
        started_at: The same moment in seconds since the epoch.
        is_cancelled: Whether somebody cancelled it.
    """

    id: str
    request: Asked
    arrived_s: float
    started_at: float
    is_cancelled: bool = False
    _worker: Worker | None = None
    _worker_ids: list[str] = field(default_factory=list)
    _waiting: asyncio.Timeout | None = None

    @asynccontextmanager
    async def waiting(self) -> AsyncGenerator[None, None]:
        """Wait inside this block for what comes before the worker has the request.

        Raises:
            DeadlineExceeded: The request's time was over before the block ended.
            Cancelled: It was cancelled before.
        """
        if self.is_cancelled:
            raise _cancelled()
        deadline_s = self.request.terms.deadline_s
        # Both clocks are ``time.monotonic`` on every loop of asyncio's own.
        when = None if deadline_s is None else self.arrived_s + deadline_s
        try:
            async with asyncio.timeout_at(when) as self._waiting:
                yield
        except TimeoutError:
            if self._waiting is None or not self._waiting.expired():
                raise
            raise (_cancelled() if self.is_cancelled else self._too_late()) from None
        finally:
            self._waiting = None

    def terms_left(self) -> Terms:
        """Return the terms with the seconds that are left of the deadline."""
        terms = self.request.terms
        if terms.deadline_s is None:
            return terms
        left_s = self.arrived_s + terms.deadline_s - time.monotonic()
        return replace(terms, deadline_s=max(0.0, left_s))

    def sent(self, worker: Worker, worker_id: str) -> None:
        """A worker has the request, or one of its several answers, under an id of its own."""
        if worker is not self._worker:
            self._worker, self._worker_ids = worker, []
        self._worker_ids.append(worker_id)

    def cancel(self) -> None:
        """End it, wherever it is."""
        self.is_cancelled = True
        if self._waiting is not None:
            if not self._waiting.expired():  # else it ends already: cancelled twice, or too late
                self._waiting.reschedule(asyncio.get_running_loop().time())
        elif self._worker is not None:
            for worker_id in self._worker_ids:
                self._worker.abort(worker_id)

    def failure(self, error: CorralError) -> CorralError:
        """Return ``error`` as the caller is to hear it: with the deadline that was asked for."""
        deadline_s = self.request.terms.deadline_s
        if not isinstance(error, DeadlineExceeded) or deadline_s is None:
            return error
        return DeadlineExceeded(f"{error.message} ({deadline_s:g} seconds)", hint=error.hint)

    def check_cancelled(self) -> None:
        """Called when the worker gave the answer up.

        Raises:
            Cancelled: Because it was cancelled from here.
        """
        if self.is_cancelled:
            raise _cancelled()

    def _too_late(self) -> DeadlineExceeded:
        return DeadlineExceeded(
            f"the request's deadline passed while it waited for {self.request.model}",
            hint="allow more time with deadline_s, or load the model beforehand",
        )

    def row(self, places: dict[str, Place], n_ahead: int) -> RunningRequest:
        """Return its line of the list.

        Args:
            places: What its worker told, by the worker's ids.
            n_ahead: Requests before it, should its worker know nothing of it yet.
        """
        own = [places[worker_id] for worker_id in self._worker_ids if worker_id in places]
        # Of several answers the one that is furthest speaks for all.
        place = min(own, key=lambda p: p.position, default=None)
        return RunningRequest(
            id=self.id,
            model=self.request.model,
            state=place.state if place else RequestState.QUEUED,
            position=place.position if place else n_ahead + 1,
            priority=self.request.terms.priority,
            client_id=self.request.terms.client_id,
            n_prompt=place.n_prompt if place else 0,
            n_cached=place.n_cached if place else 0,
            n_generated=sum(p.n_generated for p in own),
            started_at=self.started_at,
            seconds=time.monotonic() - self.arrived_s,
        )

    @property
    def worker(self) -> Worker | None:
        """Who has it; ``None`` while it waits for its model."""
        return self._worker


class RequestService:
    """All requests of this daemon that have not ended, in order of arrival.

    Attributes:
        on_change: Called when one came or ended.
        on_used: Called with a model's name when one ended that its worker had.
    """

    def __init__(self) -> None:
        self.on_change: Callable[[], None] = lambda: None
        self.on_used: Callable[[ModelName], None] = lambda name: None
        self._ongoing: dict[str, Ongoing] = {}
        self._ids = itertools.count(1)

    @contextmanager
    def entry(self, request: Asked) -> Generator[Ongoing, None, None]:
        """List a request for as long as the block lasts."""
        ongoing = Ongoing(f"{next(self._ids)}", request, time.monotonic(), time.time())
        self._ongoing[ongoing.id] = ongoing
        self.on_change()
        try:
            yield ongoing
        except DeadlineExceeded as error:
            raise ongoing.failure(error) from None
        finally:
            del self._ongoing[ongoing.id]
            if ongoing.worker is not None:
                self.on_used(request.model)
            self.on_change()

    async def list_requests(self) -> list[RunningRequest]:
        """Return all requests: those that run by arrival, then those that wait by position."""
        workers = {o.worker.pid: o.worker for o in self._ongoing.values() if o.worker}
        told = await asyncio.gather(*(_places(worker) for worker in workers.values()))
        places = {place.request_id: place for found in told for place in found}
        n_queued: dict[object, int] = {}
        rows = []
        for ongoing in _known_first(self._ongoing.values(), places):
            model = ongoing.request.model
            row = ongoing.row(places, n_queued.get(model, 0))
            n_queued[model] = max(n_queued.get(model, 0), row.position)
            rows.append(row)
        return sorted(rows, key=lambda row: row.position)

    def cancel(self, request_id: str) -> None:
        """End a request; its client is told so.

        Raises:
            RequestNotFound: None that runs or waits has this id.
        """
        ongoing = self._ongoing.get(request_id)
        if ongoing is None:
            raise RequestNotFound(
                f"no request '{request_id[:80]}' runs or waits",
                hint="it may have ended; list them with: corral ps --requests",
            )
        ongoing.cancel()


def _known_first(ongoing: Iterable[Ongoing], places: dict[str, Place]) -> list[Ongoing]:
    """Those that a worker placed come before those that none knows of yet."""
    return sorted(ongoing, key=lambda o: not any(i in places for i in o._worker_ids))


async def _places(worker: Worker) -> tuple[Place, ...]:
    """Where a worker's requests stand; nothing when it cannot say so in time."""
    with contextlib.suppress(CorralError, TimeoutError):
        async with asyncio.timeout(_INSPECT_S):
            told = await worker.channel.ask(Inspect(new_request_id()))
            assert isinstance(told, Inspected)
            return told.places
    return ()


def _cancelled() -> Cancelled:
    return Cancelled("request canceled", hint="somebody cancelled it by its id: ask again")
