"""KV state on disk: what a worker knows of its folder, and the threads that read and write it.

Nothing here waits on the loop thread: it asks ``may_have``, which looks at names alone, and hands
jobs over.  The reading thread lists an owner's folder when that owner first asks, reads headers
of those texts only that begin like the prompt, and then the one entry that serves it best.  The
writing thread makes room and writes.  What cannot be read or written is logged and left: the
prompt is computed instead.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from queue import SimpleQueue

from runner.engine.tiers import Saved
from runner.kv.entry import (
    BadEntry,
    Entry,
    Header,
    NewerEntry,
    Stopped,
    block_of,
    file_name,
    read_entry,
    read_header,
    write_entry,
)
from runner.kv.key import CacheKey
from runner.kv.packed import block_name, n_common, n_tokens
from runner.kv.shelf import Shelf, remove, touch

logger = logging.getLogger(__name__)

#: Tokens that are worth an entry of their own.
WORTH_WRITING = 256
#: An entry is written anew when it has grown by this share: so a conversation of any length
#: writes at most a few times its last size, instead of all of it with each turn.
_WORTH_GROWTH = 4
#: A gain of one token is worth reading so many: reading is some hundred times as fast as computing.
_WORTH_READING = 16


@dataclass(frozen=True, slots=True)
class Fetched:
    """What the disk had for a request.

    Attributes:
        request_id: Whose.
        n_alike: Tokens that the text most like its prompt begins with.
        saved: The entry to use; ``None`` when none is worth it.
    """

    request_id: str
    n_alike: int = 0
    saved: Saved | None = None


@dataclass(frozen=True, slots=True)
class _Search:
    """A job of the reading thread; fewer than ``n_least`` tokens are of no use."""

    request_id: str
    tokens: bytes
    owner_id: str
    n_least: int
    deliver: Callable[[Fetched], None]


def is_worth_writing(n: int, n_kept: int, *, is_last: bool) -> bool:
    """Return whether ``n`` tokens are worth an entry when ``n_kept`` of them are on disk already.

    ``is_last`` says that there will be no other chance.
    """
    n_new = n - n_kept
    return n_new >= WORTH_WRITING and (is_last or n_new * _WORTH_GROWTH >= n_kept)


class DiskTier:
    """One worker's part of the shelf; methods are for the loop thread, unless they say."""

    def __init__(
        self, shelf: Shelf, key: CacheKey, *, n_bytes_max: int, n_pending_max: int
    ) -> None:
        """Take what is needed; nothing is read yet.

        Args:
            shelf: All entries of this installation.
            key: What this worker's states depend on.
            n_bytes_max: What the whole shelf may hold.
            n_pending_max: Bytes that may wait to be written; a single entry always may.
        """
        self._shelf = shelf
        self._key = key
        self._key_text = key.as_text()
        self._n_bytes_max = n_bytes_max
        self._n_pending_max = n_pending_max
        self._lock = threading.Lock()  # for what follows
        #: Of each owner, by how they begin: file names, and packed tokens once they were read.
        self._known: dict[str, dict[str, dict[str, bytes | None]]] = {}
        self._listed: set[str] = set()  # owners whose folder was read; of others more may be there
        self._n_pending = 0
        #: Of one owner or all, and one conversation or all: ``None`` stands for all.
        self._n_clears: Counter[tuple[str | None, str | None]] = Counter()
        self._deadline_s: float | None = None
        self._searches: SimpleQueue[_Search | None] = SimpleQueue()
        self._writes: SimpleQueue[tuple[Saved, int] | None] = SimpleQueue()
        self._threads: dict[str, threading.Thread] = {}

    def may_have(self, tokens: bytes, owner_id: str) -> bool:
        """Whether an entry might begin like ``tokens``; ``True`` while nobody has looked."""
        block = block_name(tokens)
        with self._lock:
            is_listed = owner_id in self._listed
            return bool(block) and (not is_listed or block in self._known.get(owner_id, {}))

    def search(
        self,
        request_id: str,
        tokens: bytes,
        owner_id: str,
        *,
        n_least: int,
        deliver: Callable[[Fetched], None],
    ) -> None:
        """Look for the entry that serves ``tokens`` best.

        ``deliver`` is called once with it, on the reading thread.
        """
        self._start("cache-reader", self._search_all)
        self._searches.put(_Search(request_id, tokens, owner_id, n_least, deliver))

    def wants(self, tokens: bytes, owner_id: str, *, is_last: bool = False) -> bool:
        """Whether ``tokens`` are worth an entry; the one that has most of them counts as used."""
        path, n_kept = self._best_known(tokens, owner_id)
        if is_worth_writing(n_tokens(tokens), n_kept, is_last=is_last):
            return True
        if path is not None:
            touch(path)
        return False

    def offer(self, saved: Saved) -> bool:
        """Write an entry soon; ``False`` when too much waits to be written already."""
        n = len(saved.blob)
        with self._lock:
            if self._n_pending and self._n_pending + n > self._n_pending_max:
                return False
            self._n_pending += n
            # From here on it counts as kept, so that it is not offered twice.
            self._learn(saved.owner_id, file_name(saved.tokens), saved.tokens)
            n_clears = self._n_clears_of(saved)
        self._start("cache-writer", self._write_all)
        self._writes.put((saved, n_clears))
        return True

    def discard(self, saved: Saved) -> None:
        """Remove the entry for a state that turned out to be of no use."""
        self._forget(saved.owner_id, file_name(saved.tokens), removes=True)

    def clear(self, owner_id: str | None = None, conversation_id: str | None = None) -> None:
        """Forget what is known of one owner's entries, or all; the files are not touched.

        What waits to be written of that owner and conversation is not written any more.
        """
        with self._lock:
            if self._n_pending:  # else there is nobody who must hear of it
                self._n_clears[owner_id, conversation_id] += 1
            for owner in [*self._known, *self._listed] if owner_id is None else [owner_id]:
                self._known.pop(owner, None)
                self._listed.discard(owner)

    def close(self, within_s: float) -> None:
        """End both threads; what waits to be written is, as far as the time goes."""
        self._deadline_s = time.monotonic() + within_s
        self._searches.put(None)
        self._writes.put(None)
        if writer := self._threads.get("cache-writer"):
            writer.join(within_s + 0.1)

    def _start(self, name: str, work: Callable[[], None]) -> None:
        if name not in self._threads:
            self._threads[name] = threading.Thread(target=work, name=name, daemon=True)
            self._threads[name].start()

    # The index

    def _learn(self, owner_id: str, name: str, tokens: bytes | None) -> None:
        """Note a file; the lock is held."""
        if block := block_of(name):
            names = self._known.setdefault(owner_id, {}).setdefault(block, {})
            names[name] = names.get(name) if tokens is None else tokens

    def _forget(self, owner_id: str, name: str, *, removes: bool = False) -> None:
        if removes:
            remove(self._path(owner_id, name))
        block = block_of(name)
        with self._lock:
            blocks = self._known.get(owner_id, {})
            if names := blocks.get(block):
                names.pop(name, None)
                if not names:
                    del blocks[block]

    def _candidates(self, tokens: bytes, owner_id: str) -> dict[str, bytes | None]:
        with self._lock:
            return dict(self._known.get(owner_id, {}).get(block_name(tokens), {}))

    def _best_known(self, tokens: bytes, owner_id: str) -> tuple[Path | None, int]:
        """The entry known to have most of ``tokens``, and how many."""
        best, n_best = None, 0
        for name, known in self._candidates(tokens, owner_id).items():
            if known is not None and (n := n_common(known, tokens)) > n_best:
                best, n_best = self._path(owner_id, name), n
        return best, n_best

    def _path(self, owner_id: str, name: str) -> Path:
        return self._shelf.folder(self._key.folder_name, owner_id) / name

    # The reading thread

    def _search_all(self) -> None:
        while search := self._searches.get():
            fetched = Fetched(search.request_id)
            try:
                fetched = self._search(search)
            except Exception:
                logger.exception("reading the cache on disk failed")
            search.deliver(fetched)

    def _search(self, search: _Search) -> Fetched:
        self._list(search.owner_id)
        ranked = self._rank(search)
        n_alike = ranked[0][0] if ranked else 0
        for n, name, n_whole in ranked:
            gain = n - search.n_least
            if gain < 0 or (gain + 1) * _WORTH_READING < n_whole - n:
                continue
            if saved := self._read(search, name):
                return Fetched(search.request_id, n_alike, saved)
        return Fetched(search.request_id, n_alike)

    def _list(self, owner_id: str) -> None:
        """Learn the names of an owner's entries, once."""
        with self._lock:
            if owner_id in self._listed:
                return
        folder = self._shelf.folder(self._key.folder_name, owner_id)
        names: list[str] = []
        with contextlib.suppress(OSError):
            names = [path.name for path in folder.iterdir()]
        with self._lock:
            self._listed.add(owner_id)
            for name in names:
                self._learn(owner_id, name, None)

    def _rank(self, search: _Search) -> list[tuple[int, str, int]]:
        """What begins like the prompt: tokens in common, file name, tokens in all; best first."""
        ranked: list[tuple[int, str, int]] = []
        for name, known in self._candidates(search.tokens, search.owner_id).items():
            tokens = known if known is not None else self._read_tokens(search.owner_id, name)
            if tokens is not None:
                ranked.append((n_common(tokens, search.tokens), name, n_tokens(tokens)))
        return sorted(ranked, key=lambda one: (-one[0], one[2]))

    def _read_tokens(self, owner_id: str, name: str) -> bytes | None:
        """Read what text an entry is for, as it says itself, and remember it."""
        path = self._path(owner_id, name)
        try:
            header, tokens = read_header(path)
            self._check(header, tokens, owner_id, name)
        except (BadEntry, OSError) as error:
            self._on_bad(owner_id, name, error)
            return None
        with self._lock:
            self._learn(owner_id, name, tokens)
        return tokens

    def _read(self, search: _Search, name: str) -> Saved | None:
        path = self._path(search.owner_id, name)
        try:
            entry = read_entry(path)
            self._check(entry.header, entry.tokens, search.owner_id, name)
        except (BadEntry, OSError, MemoryError) as error:
            self._on_bad(search.owner_id, name, error)
            return None
        if n_common(entry.tokens, search.tokens) < search.n_least:
            return None
        touch(path)
        return Saved(
            entry.tokens,
            entry.state,
            search.owner_id,
            may_go_to_disk=True,
            created_s=entry.header.created_s,
            conversation_id=entry.header.conversation_id,
        )

    def _check(self, header: Header, tokens: bytes, owner_id: str, name: str) -> None:
        """Refuse an entry that is not what its place says, however it came there."""
        if header.key != self._key_text or header.owner_id != owner_id:
            raise BadEntry("it belongs elsewhere")
        if file_name(tokens) != name:
            raise BadEntry("its name is not that of its tokens")

    def _on_bad(self, owner_id: str, name: str, error: Exception) -> None:
        """An entry cannot be used: gone, damaged (then it goes), or not ours to judge."""
        is_ours = isinstance(error, BadEntry) and not isinstance(error, NewerEntry)
        self._forget(owner_id, name, removes=is_ours)
        if not isinstance(error, FileNotFoundError):
            logger.warning("a kept prompt is of no use file=%s error=%r", name, str(error))

    # The writing thread

    def _write_all(self) -> None:
        while item := self._writes.get():
            saved, n_clears = item
            is_written = False
            try:
                is_written = self._write(saved, n_clears)
            except Stopped:
                logger.info(
                    "a prompt is not kept: cleared, or no time n_tokens=%d",
                    n_tokens(saved.tokens),
                )
            except OSError as error:
                logger.warning("a prompt could not be kept on disk error=%r", str(error))
            except Exception:
                logger.exception("keeping a prompt on disk failed")
            if not is_written:
                self._forget(saved.owner_id, file_name(saved.tokens))
            with self._lock:
                self._n_pending -= len(saved.blob)
                if not self._n_pending:
                    self._n_clears.clear()

    @contextlib.contextmanager
    def _unless_cleared(self, saved: Saved, n_clears: int) -> Iterator[None]:
        """Hold off clearing, so that whoever clears finds either the file or none ever.

        Raises:
            Stopped: Its owner's entries were cleared since it was offered.
        """
        with self._lock:
            if self._n_clears_of(saved) != n_clears:
                raise Stopped
            yield

    def _n_clears_of(self, saved: Saved) -> int:
        owners, conversations = (None, saved.owner_id), (None, saved.conversation_id)
        return sum(self._n_clears[each] for each in product(owners, conversations))

    def _write(self, saved: Saved, n_clears: int) -> bool:
        """Write one entry, and remove those that it makes useless; whether it is there now."""
        if self._must_stop():
            raise Stopped
        with self._unless_cleared(saved, n_clears):
            pass
        name = file_name(saved.tokens)
        path = self._path(saved.owner_id, name)
        if path.exists():
            touch(path)
            return True
        folder = path.parent
        if not self._make_room(len(saved.blob) + len(saved.tokens), saved.owner_id, folder):
            return False
        header = Header(
            self._key_text,
            self._key.model,
            saved.owner_id,
            saved.created_s,
            saved.conversation_id,
        )
        write_entry(
            folder,
            Entry(header, saved.tokens, saved.blob),
            must_stop=self._must_stop,
            placing=self._unless_cleared(saved, n_clears),
        )
        for other, known in self._candidates(saved.tokens, saved.owner_id).items():
            if other != name and known is not None and saved.tokens.startswith(known):
                self._forget(saved.owner_id, other, removes=True)
        return True

    def _make_room(self, n_bytes: int, owner_id: str, folder: Path) -> bool:
        """Remove what was not used for longest; whether there is room for an entry then."""
        if self._shelf.disk_is_low(n_bytes):
            logger.info("the disk is low, a prompt is not kept n_bytes=%d", n_bytes)
            return False
        removed = self._shelf.make_room(n_bytes, self._n_bytes_max)
        for gone in removed or ():
            if gone.parent == folder:
                self._forget(owner_id, gone.name)
        return removed is not None

    def _must_stop(self) -> bool:
        return self._deadline_s is not None and time.monotonic() > self._deadline_s
