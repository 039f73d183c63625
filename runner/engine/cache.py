"""Where a prompt's state comes from and goes to beside the context: host memory, then disk.

The loop tells what begins, what leaves and when nothing runs; here it is decided what is copied,
when it is worth that, and for whom.  Called from the loop thread only.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from runner.domain.request import CacheUse
from runner.engine.backend import Backend
from runner.engine.disk import WORTH_WRITING, DiskTier, Fetched
from runner.engine.plan import Free, Park
from runner.engine.scheduler import WORTH_SAVING, Scheduler
from runner.engine.sequence import Sequence
from runner.engine.tiers import HostTier, Saved
from runner.kv.packed import n_common, n_tokens, pack
from runner.protocol.messages import CacheState, StoredPrompt

#: Seconds without a request after which what ended is copied; until then it may well go on.
SETTLE_S = 0.25


class Cache:
    """The tiers of one worker; ``deliver`` takes what the disk had, from another thread."""

    def __init__(
        self,
        backend: Backend,
        scheduler: Scheduler,
        deliver: Callable[[Fetched], None],
        *,
        n_host_bytes: int = 0,
        disk: DiskTier | None = None,
    ) -> None:
        self._backend = backend
        self._scheduler = scheduler
        self._deliver = deliver
        self._n_host_bytes = n_host_bytes
        # States that cannot be cut serve nobody else.
        can_share = backend.n_cold_max > 0
        self._host = HostTier(n_host_bytes if can_share else 0)
        self._disk = disk if can_share else None
        self._guest: Saved | None = None  # from disk, larger than all of the host tier
        self._is_settled = True
        self._idle_s: float | None = None  # since when nothing runs
        self._keeps = True

    def settle_in(self, now: float) -> float | None:
        """Return the seconds until ``settle`` is due, now that nothing runs; ``None``: never.

        They count from the first moment it is asked after a request.
        """
        if self._is_settled or self._disk is None:
            return None
        if self._idle_s is None:
            self._idle_s = now
        return max(0.0, self._idle_s + SETTLE_S - now)

    def look_up(self, seq: Sequence) -> bool:
        """Whether the disk is being asked for more of a new sequence than memory has.

        If so, ``deliver`` follows, and the sequence should wait for that.
        """
        self._is_settled, self._idle_s = False, None
        if not seq.may_share or not self._backend.n_cold_max:
            return False
        n_there = seq.n_alike = self._scheduler.n_alike(seq)
        if not seq.uses_tiers:
            return False
        packed = pack(seq.tokens)
        if found := self._host.match(packed, seq.owner_id):
            n_there = seq.n_alike = max(n_there, found[1])
        n_least = max(WORTH_WRITING, n_there + WORTH_SAVING)
        if self._disk is None or seq.cache is not CacheUse.DISK or n_tokens(packed) < n_least:
            return False
        if not self._disk.may_have(packed, seq.owner_id):
            return False
        self._disk.search(
            seq.request_id, packed, seq.owner_id, n_least=n_least, deliver=self._deliver
        )
        return True

    def take(self, fetched: Fetched, seq: Sequence) -> None:
        """Keep in memory what the disk had for a sequence, until it begins."""
        self._is_settled, self._idle_s = False, None
        seq.n_alike = max(seq.n_alike, fetched.n_alike)
        if (saved := fetched.saved) is None:
            return
        seq.is_from_disk = True
        if len(saved.blob) > self._host.n_bytes_max:
            self._guest = saved
        elif not self._host.find(saved.tokens, saved.owner_id):
            self._add(saved)

    def find(self, seq: Sequence) -> tuple[Saved, int] | None:
        """Return what memory has more of an admitted sequence than it shares, and how much."""
        if not seq.uses_tiers or not (len(self._host) or self._guest):
            return None
        packed = pack(seq.tokens[:-1])
        found = self._host.match(packed, seq.owner_id)
        if self._guest and self._guest.owner_id == seq.owner_id:
            n = n_common(self._guest.tokens, packed)
            found = found if found and found[1] >= n else (self._guest, n)
        if found is None or found[1] < seq.n_computed + WORTH_SAVING:
            return None
        if found[0] is not self._guest:
            self._host.touch(found[0])
        return found

    def drop(self, saved: Saved) -> None:
        """Forget a state that llama.cpp would not take."""
        if saved is self._guest:
            self._guest = None
        elif saved in self._host:  # making room for it may have driven it out
            self._host.remove(saved)
        if self._disk is not None:
            self._disk.discard(saved)

    def keep(self, freed: Free) -> None:
        """Copy what is about to leave the context, where it is worth that."""
        if not freed.tokens or freed.cache is CacheUse.NONE or not self._keeps:
            return
        self._copy(freed, wants_host=self._host.n_bytes_max > 0, is_last=False)

    def park(self, effect: Park) -> None:
        """Save the state of one that gives way; without memory for it, it is computed again.

        Such states may take as much memory as those of ended sequences, apart from them: whoever
        ends now must not push out what a waiting client needs.
        """
        n_left = self._n_host_bytes - self._scheduler.n_saved_bytes
        blob = self._backend.save(effect.seq_id) if n_left > 0 else b""
        if blob and len(blob) <= n_left:
            effect.seq.saved, effect.seq.n_saved = blob, effect.n

    def settle(self) -> None:
        """Nothing runs: write what ended, and is worth it, while its cells are still there."""
        self._is_settled = True
        self._guest = None
        self._copy_cold(is_last=False)

    def close(self, within_s: float) -> None:
        """Write what is worth it and not written, the last used first, as far as the time goes."""
        if self._disk is None:
            return
        deadline_s = time.monotonic() + within_s
        self._copy_cold(is_last=True)
        for saved in self._host:
            self._write(saved, is_last=True)
        self._disk.close(max(0.0, deadline_s - time.monotonic()))

    def clear(
        self, owner_id: str | None, conversation_id: str | None = None, *, keeps: bool
    ) -> None:
        """Forget prompts of one owner, of one conversation, or all; those to be written, too.

        Without ``keeps`` nothing is kept from here on.
        """
        self._keeps = self._keeps and keeps
        self._host.clear(owner_id, conversation_id)
        if self._guest and owner_id in (None, self._guest.owner_id):
            self._guest = None
        if self._disk is not None:
            self._disk.clear(owner_id, conversation_id)

    def state(self, request_id: str) -> CacheState:
        """Return what memory holds."""
        return CacheState(
            request_id,
            n_cells=self._scheduler.n_cells - self._scheduler.n_free,
            n_host_bytes=self._host.n_bytes,
            prompts=tuple(
                StoredPrompt(
                    saved.owner_id,
                    n_tokens(saved.tokens),
                    len(saved.blob),
                    created_s=saved.created_s,
                    used_s=self._host.used_s(saved),
                )
                for saved in self._host
            ),
        )

    def _copy_cold(self, *, is_last: bool) -> None:
        if self._disk is None or not self._keeps:
            return
        for freed in self._scheduler.cold():
            self._copy(freed, wants_host=False, is_last=is_last)

    def _copy(self, freed: Free, *, wants_host: bool, is_last: bool) -> None:
        """Copy a sequence's state to where it is wanted and is not yet."""
        packed = pack(freed.tokens)
        may_go = self._disk is not None and freed.cache is CacheUse.DISK
        wants_disk = may_go and self._wants(packed, freed.owner_id, is_last=is_last)
        saved = self._host.find(packed, freed.owner_id) if wants_host or wants_disk else None
        if saved is None and (wants_host or wants_disk):
            if not (blob := self._backend.save(freed.seq_id)):
                return
            conversation = freed.conversation_id
            saved = Saved(packed, blob, freed.owner_id, may_go, conversation_id=conversation)
            self._add(saved)
        if saved is not None and wants_disk:
            self._write(saved, is_last=is_last)

    def _add(self, saved: Saved) -> None:
        for driven_out in self._host.add(saved):
            self._write(driven_out, is_last=True)

    def _wants(self, packed: bytes, owner_id: str, *, is_last: bool) -> bool:
        return self._disk is not None and self._disk.wants(packed, owner_id, is_last=is_last)

    def _write(self, saved: Saved, *, is_last: bool) -> None:
        if self._disk is None or not saved.may_go_to_disk or not self._keeps:
            return
        if self._disk.wants(saved.tokens, saved.owner_id, is_last=is_last):
            self._disk.offer(saved)
