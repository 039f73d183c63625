"""Several hubs asked at once for the same model: which one is taken, and who was faster lately."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from runner.domain.name import ModelName
from runner.errors import CorralError
from runner.hub.nowhere import nowhere
from runner.hub.source import RemoteFile, Source

#: Seconds that the slower hub gets to offer its copy, once the faster one has answered.
_PATIENCE_S = 3.0
#: For so long the hub that won a race goes first without another one.
_REMEMBERED_S = 6 * 3600.0

_Asked = Future[list[RemoteFile]]


@dataclass(slots=True)
class Faster:
    """The hub that answered first the last time, for some hours.  Safe from any thread.

    Attributes:
        clock: Seconds that never go back.
    """

    clock: Callable[[], float] = time.monotonic
    _host: str = ""
    _since: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def host(self) -> str:
        """Its host; empty when there was no race lately."""
        with self._lock:
            return self._host if self.clock() - self._since < _REMEMBERED_S else ""

    def won(self, host: str) -> None:
        """Remember who answered first."""
        with self._lock:
            self._host, self._since = host, self.clock()


def first_of(
    what: str, asked: Sequence[tuple[Source, ModelName]], faster: Faster | None
) -> tuple[list[RemoteFile], list[RemoteFile]]:
    """Ask all places at once; return the files of the chosen one, and what the others have.

    Args:
        what: The model, for the error.
        asked: The places, and who knows each.
        faster: Who goes first is found out by a race, and remembered here; ``None``: the first in
            order that has the model.

    Raises:
        CorralError: No place could give it; the error has the reason of each.
    """
    remembered = faster.host if faster else ""
    if remembered:
        asked = sorted(asked, key=lambda one: one[1].host.lower() != remembered)
    is_race = faster is not None and asked[0][1].host.lower() != remembered
    pool = ThreadPoolExecutor(max_workers=len(asked), thread_name_prefix="hub")
    try:
        futures = [pool.submit(source.resolve, place) for source, place in asked]
        chosen = _winner(futures, is_race=is_race)
        if chosen is None:
            raise nowhere(what, [(a[1], _why(f)) for a, f in zip(asked, futures, strict=True)])
        place = asked[futures.index(chosen)][1]
        if faster is not None and len(asked) > 1 and place.host.lower() != remembered:
            faster.won(place.host.lower())
        rest = [future for future in futures if future is not chosen]
        wait(rest, timeout=_PATIENCE_S)
        others = [file for future in rest if _has_model(future) for file in future.result()]
        return chosen.result(), others
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _winner(futures: Sequence[_Asked], *, is_race: bool) -> _Asked | None:
    """Return the first future with an answer, in a race or in order; ``None``: there is none."""
    if not is_race:
        return next((f for f in futures if f.exception() is None), None)
    pending = set(futures)
    while pending:
        done, pending = wait(pending, return_when=FIRST_COMPLETED)
        for future in futures:  # in order, when several have come at once
            if future in done and future.exception() is None:
                return future
    return None


def _has_model(future: _Asked) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


def _why(future: _Asked) -> CorralError:
    """Return why a place failed; what is no error of ours is a bug, and goes on as it is."""
    error = future.exception()
    if not isinstance(error, CorralError):
        future.result()
        raise AssertionError("it did not fail")
    return error
