"""One repository of a hub, opened: each quantization with the memory that it will need.

The header of the model that a name means is read by range, out of the hub's own file; nothing is
downloaded.  Other quantizations of the same model differ from it in their weights alone.  Blocking.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace

from runner.domain.name import DEFAULT_TAG, ModelName
from runner.domain.search import FoundModel, FoundQuant, Opened
from runner.errors import CorralError, NotOnHub, SourceError
from runner.gguf.memory import Estimate, Plan, estimate
from runner.gguf.metadata import ModelFacts, describe, join_shards
from runner.gguf.reader import Header, read_open
from runner.hub.choose import ROOM_BYTES, Choice, Variant, choose, fits, variants
from runner.hub.ranged import RangedFile
from runner.hub.repository import Found, Hub, Listing, remote_files
from runner.hub.source import Recipe, RemoteFile, Role

logger = logging.getLogger(__name__)

#: The context that memory is counted for, in tokens: what every model gets at least.
_N_CTX = 4096
_MOST_REMEMBERED = 64
_MOST_FILES = 32
_N_SEARCHED = 20


@dataclass(frozen=True, slots=True)
class _Measured:
    """What the headers of one model say."""

    facts: ModelFacts
    need: Estimate
    n_ctx: int
    n_headers: int  # bytes of the files that are no weights


@dataclass(slots=True)
class Opener:
    """Opens repositories, and remembers the headers it has read.  Safe from any thread.

    Attributes:
        memory_bytes: This machine's memory; 0: not known.
    """

    memory_bytes: int = 0
    _measured: OrderedDict[tuple[str, ...], _Measured] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def open(self, hub: Hub, name: ModelName) -> FoundModel:
        """Return what ``name``'s repository has; without a tag, what that would mean here.

        Raises:
            NotOnHub: There is no such repository, revision or quantization.
            SourceError: The hub refused or failed.
        """
        repository = f"{name.namespace}/{name.model}"
        pool = ThreadPoolExecutor(1, thread_name_prefix="hub-liked")
        try:
            liked = pool.submit(_liked, hub, repository)
            listing = hub.listing(repository, name.revision)
            every = [one for one in variants(listing.files) if one.is_complete]
            opened, choice = self._chosen(listing, name)
            measured = None
            if choice is not None:
                try:
                    hub.check_access(listing)
                    measured = self._measure(hub, listing, choice)
                except SourceError as error:
                    opened = replace(opened, problem=error.message)
            found = liked.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        return FoundModel(
            name=f"{listing.host}/{listing.repository}",
            hub=listing.host,
            n_likes=found.n_likes,
            n_downloads=found.n_downloads,
            license=listing.license,
            is_gated=listing.is_gated,
            quants=tuple(self._quant(one, choice, measured) for one in every),
            opened=_told(opened, measured),
        )

    def _chosen(self, listing: Listing, name: ModelName) -> tuple[Opened, Choice | None]:
        """Return what the name means; several models without a tag mean none of them."""
        try:
            choice = choose(
                listing.files,
                name.tag,
                file=name.file,
                memory_bytes=self.memory_bytes,
                where=f"{listing.host}/{listing.repository}",
            )
        except NotOnHub as error:
            if name.file or name.tag.lower() != DEFAULT_TAG:
                raise
            return Opened(problem=error.message), None
        return Opened(chosen=choice.variant.label, reason=choice.reason), choice

    def _measure(self, hub: Hub, listing: Listing, choice: Choice) -> _Measured:
        """Return what the headers say; raises ``SourceError`` when they cannot be read."""
        files = remote_files(hub, listing, choice, recipe=Recipe())
        key = tuple(file.sha256 or file.location for file in files)
        with self._lock:
            if key in self._measured:
                self._measured.move_to_end(key)
                return self._measured[key]
        if len(files) > _MOST_FILES:
            raise SourceError(f"the model has {len(files)} files: too many to look into each")
        made = _measured(files)
        with self._lock:
            self._measured[key] = made
            while len(self._measured) > _MOST_REMEMBERED:
                self._measured.popitem(last=False)
        return made

    def _quant(
        self, variant: Variant, choice: Choice | None, measured: _Measured | None
    ) -> FoundQuant:
        size, memory = variant.n_bytes, self.memory_bytes
        if measured is None or choice is None or variant.base != choice.variant.base:
            rough = fits(size, memory) if size and memory else None
            return FoundQuant(variant.label, size, rough)
        n_weights = measured.need.n_weights
        if variant != choice.variant:
            n_weights = max(0, size - measured.n_headers)
        n_memory = measured.need.n_total - measured.need.n_weights + n_weights
        exact = n_memory + ROOM_BYTES <= memory if memory else None
        return FoundQuant(variant.label, size, exact, n_memory=n_memory)


def _measured(files: Sequence[RemoteFile]) -> _Measured:
    headers = [(file, _header(file)) for file in files]
    weights = [header for file, header in headers if file.role in (Role.MODEL, Role.SHARD)]
    eyes = [header for file, header in headers if file.role is Role.PROJECTOR]
    whole = join_shards(weights)
    facts = describe(whole)
    n_ctx = min(facts.n_ctx_train or _N_CTX, _N_CTX)
    need = estimate(whole, Plan(n_cells=n_ctx), projector=eyes[0] if eyes else None)
    return _Measured(facts, need, n_ctx, sum(header.data_offset for header in weights))


def _header(file: RemoteFile) -> Header:
    with closing(RangedFile(file)) as remote:
        header = read_open(remote, file.name, file.n_bytes)
        logger.info("header read name=%s n_fetched=%d", file.name, remote.n_fetched)
        return header


def _told(opened: Opened, measured: _Measured | None) -> Opened:
    if measured is None:
        return opened
    facts = measured.facts
    return replace(
        opened,
        architecture=facts.architecture,
        n_params=facts.n_params,
        n_ctx_train=facts.n_ctx_train,
        n_ctx=measured.n_ctx,
    )


def _liked(hub: Hub, repository: str) -> Found:
    """Return how liked a repository is, which only a search tells; nothing goes wrong here."""
    try:
        rows = hub.search(repository.partition("/")[2], _N_SEARCHED)
    except CorralError:
        rows = []
    same = (row for row in rows if row.repository.lower() == repository.lower())
    return next(same, Found(hub.host, repository))
