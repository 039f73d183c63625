"""A search of several hubs at once: who answers is shown, who does not is named.

A hub's list of repositories has no sizes, so the listing of each is asked for beside; what does
not come in time is left out.  Blocking; safe from any thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import zip_longest

from runner.domain.search import FoundModel, FoundQuant, HubFailure, SearchResult
from runner.errors import CorralError, SourceError
from runner.hub.choose import Variant, fits, variants
from runner.hub.repository import Found, Hub

#: Seconds for the searches, and for all listings together after them: the clients themselves would
#: wait and ask again for longer, and what another hub has found would wait with them.
_SEARCH_S, _SIZES_S = 15.0, 8.0
_N_THREADS = 8


def search(
    hubs: Sequence[Hub],
    words: str,
    limit: int,
    *,
    memory_bytes: int = 0,
    patience_s: float = _SEARCH_S,
) -> SearchResult:
    """Return up to ``limit`` repositories of each hub, the hubs' own first choices first.

    Args:
        hubs: Whom to ask.
        words: What to look for.
        limit: Most repositories from each hub.
        memory_bytes: This machine's memory, for the fit; 0: not known.
        patience_s: Seconds that a hub may take.

    Raises:
        CorralError: No hub could be asked; it is the first one's error.
    """
    pool = ThreadPoolExecutor(max_workers=_N_THREADS, thread_name_prefix="hub-search")
    try:
        asked = [(hub, pool.submit(hub.search, words, limit)) for hub in hubs]
        wait([future for _, future in asked], timeout=patience_s)
        found: list[list[tuple[Hub, Found]]] = []
        failed: list[tuple[Hub, CorralError]] = []
        for hub, future in asked:
            if not future.done():
                failed.append((hub, _late(hub, patience_s)))
                continue
            try:
                found.append([(hub, one) for one in future.result()])
            except CorralError as error:
                failed.append((hub, error))
        if failed and not found:
            raise failed[0][1]
        mixed = [one for row in zip_longest(*found) for one in row if one is not None]
        listed = [(one, pool.submit(_listed, hub, one)) for hub, one in mixed]
        wait([future for _, future in listed], timeout=_SIZES_S)
        models = tuple(_model(one, _done(future), memory_bytes) for one, future in listed)
        return SearchResult(models, tuple(_failure(hub, error) for hub, error in failed))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _listed(hub: Hub, found: Found) -> tuple[Variant, ...]:
    return tuple(variants(hub.listing(found.repository).files))


def _done(future: Future[tuple[Variant, ...]]) -> tuple[Variant, ...] | None:
    """Return what came; ``None`` when nothing did, or an error."""
    if not future.done() or future.cancelled() or future.exception() is not None:
        return None
    return future.result()


def _model(found: Found, listed: Iterable[Variant] | None, memory_bytes: int) -> FoundModel:
    known = found.variants if listed is None else tuple(listed)
    return FoundModel(
        name=f"{found.host}/{found.repository}",
        hub=found.host,
        n_likes=found.n_likes,
        n_downloads=found.n_downloads,
        license=found.license,
        is_gated=found.is_gated,
        quants=tuple(_quant(variant, memory_bytes) for variant in known if variant.is_complete),
    )


def _quant(variant: Variant, memory_bytes: int) -> FoundQuant:
    size = variant.n_bytes
    return FoundQuant(
        label=variant.label,
        n_bytes=size,
        fits=fits(size, memory_bytes) if size and memory_bytes else None,
    )


def _late(hub: Hub, patience_s: float) -> SourceError:
    return SourceError(
        f"{hub.host} takes connections, but has not answered within {patience_s:g} seconds",
        hint="try again later",
    )


def _failure(hub: Hub, error: CorralError) -> HubFailure:
    return HubFailure(hub.host, error.code, error.message, error.hint)
