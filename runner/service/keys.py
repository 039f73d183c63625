"""API keys: made, found, limited, revoked; kept hashed in one small file.

A key is 256 random bits, so one round of SHA-256 hides it as well as a slow hash would: there is
nothing to guess, and a slow one would cost every request.  Used from the event loop's thread only.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from runner.domain.key import Key, NewKey, Scope
from runner.errors import CorralError, KeyNotFound, StoreError, TooManyRequests, Unauthorized
from runner.service.rates import Rates
from runner.store.disk import explained, replace_file

logger = logging.getLogger(__name__)

#: Every key begins so: it is told from other programs' keys, which clients send to anybody.
PREFIX = "corral-"
_FORMAT = 1
#: Seconds that the last use may be behind on disk.
_SAVE_EVERY_S = 60.0


class KeyService:
    """All keys of one daemon; owns the file."""

    def __init__(
        self,
        path: Path,
        *,
        on_revoked: Callable[[str], Awaitable[object]] | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Read the keys; blocks.

        Args:
            path: The file, which need not exist.
            on_revoked: Told the id of each key that is gone, to forget what is kept for it.
            now: Seconds since the epoch.

        Raises:
            StoreError: The file is damaged, or of a later version.  Going on without the keys
                would open or shut the door for everybody.
        """
        self._path = path
        self._on_revoked = on_revoked
        self._now = now
        self._rates = Rates()
        self._saver: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()
        self._by_hash = _read(path)

    def list_keys(self) -> list[Key]:
        """Return all keys, the oldest first."""
        return sorted(self._by_hash.values(), key=lambda key: (key.created_at, key.id))

    async def add(self, asked: NewKey) -> tuple[Key, str]:
        """Make a key; return it and its secret, which nobody can look up later."""
        secret = PREFIX + secrets.token_urlsafe(32)
        key = Key(
            id=secrets.token_hex(4),
            name=asked.name,
            scopes=asked.scopes,
            models=asked.models,
            n_per_minute=asked.n_per_minute,
            created_at=self._now(),
            expires_at=asked.expires_at,
        )
        digest = _hash(secret)
        self._by_hash[digest] = key
        try:
            await self._save()
        except CorralError:
            self._by_hash.pop(digest, None)
            raise
        logger.info("key added id=%s scopes=%s", key.id, ",".join(sorted(key.scopes)))
        return key, secret

    async def revoke(self, key_id: str) -> Key:
        """Remove a key and what is kept for it.

        Raises:
            KeyNotFound: There is none with this id.
            CorralError: It cannot be saved that it is gone; the key is there as before, for the
                next daemon would let it in again.
        """
        digest = next((d for d, key in self._by_hash.items() if key.id == key_id), None)
        if digest is None:
            raise KeyNotFound(
                f"there is no key with the id '{key_id[:80]}'", hint="list them: corral keys list"
            )
        key = self._by_hash.pop(digest)
        try:
            await self._save()
        except CorralError:
            self._by_hash[digest] = key
            raise
        self._rates.forget(key_id)
        logger.info("key revoked id=%s", key_id)
        if self._on_revoked is not None:
            await self._on_revoked(key_id)
        return key

    def find(self, secret: str) -> Key:
        """Return the key with this secret.

        Raises:
            Unauthorized: There is none, or it has expired.
        """
        key = self._by_hash.get(_hash(secret))
        if key is None:
            raise Unauthorized(
                "this API key is not known here", hint="it may be revoked; ask who runs the daemon"
            )
        if key.expires_at is not None and key.expires_at <= self._now():
            raise Unauthorized(f"the API key '{key.name}' has expired", hint="ask for a new one")
        return key

    def admit(self, key: Key) -> None:
        """Count a request made with ``key``.

        Raises:
            TooManyRequests: It has made all that it may in this minute.
        """
        if key.n_per_minute:
            wait_s = self._rates.take(key.id, key.n_per_minute, time.monotonic())
            if wait_s:
                raise TooManyRequests(key.n_per_minute, wait_s)
        for digest, known in self._by_hash.items():
            if known.id == key.id:
                self._by_hash[digest] = replace(known, used_at=self._now())
                break
        if self._saver is None or self._saver.done():
            self._saver = asyncio.get_running_loop().create_task(self._save_later())

    async def close(self) -> None:
        """Write down when each key was last used."""
        if self._saver is None:
            return
        self._saver.cancel()
        await asyncio.gather(self._saver, return_exceptions=True)
        await self._save_uses()

    async def _save_later(self) -> None:
        await asyncio.sleep(_SAVE_EVERY_S)
        await self._save_uses()

    async def _save_uses(self) -> None:
        try:
            await self._save()
        except CorralError as error:  # only the time of the last use is at stake
            logger.warning("keys were not saved: %s", error.message)

    async def _save(self) -> None:
        async with self._writing:
            rows = [_row(digest, key) for digest, key in self._by_hash.items()]
            content = json.dumps({"format": _FORMAT, "keys": rows}, indent=1).encode()
            await asyncio.to_thread(_write, self._path, content)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def _write(path: Path, content: bytes) -> None:
    with explained("cannot save the API keys"):
        # A temporary file is mode 0600 from its first moment, and keeps that when it is renamed.
        replace_file(path, content, scratch=path.parent, prefix=".keys-")


def _row(digest: str, key: Key) -> dict[str, Any]:
    return {
        "sha256": digest,
        "id": key.id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "models": list(key.models),
        "n_per_minute": key.n_per_minute,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "used_at": key.used_at,
    }


def _read(path: Path) -> dict[str, Key]:
    try:
        with explained("cannot read the API keys"):
            text = path.read_text(encoding="utf-8")
    except StoreError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return {}
        raise
    except UnicodeDecodeError:
        raise _damaged() from None
    try:
        told = json.loads(text)
        found_format = told["format"]
        if found_format != _FORMAT:
            raise StoreError(
                f"the file of API keys has format {found_format!r}, this version knows {_FORMAT}",
                hint="a newer version of Corral wrote it: use that one",
            )
        return {str(row["sha256"]): _key(row) for row in told["keys"]}
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        raise _damaged() from None


def _key(row: dict[str, Any]) -> Key:
    return Key(
        id=str(row["id"]),
        name=str(row["name"]),
        scopes=frozenset(Scope(scope) for scope in row["scopes"]),
        models=tuple(str(model) for model in row["models"]),
        n_per_minute=int(row["n_per_minute"]),
        created_at=float(row["created_at"]),
        expires_at=None if row["expires_at"] is None else float(row["expires_at"]),
        used_at=None if row["used_at"] is None else float(row["used_at"]),
    )


def _damaged() -> StoreError:
    return StoreError(
        "the file of API keys is damaged",
        hint="put a copy of it back, or remove the file 'keys' and make new keys",
    )
