"""Tokens of model hubs: kept for the hubs' clients, never told to anybody else.

They lie in the desktop's keyring where there is one (``wallet.py``), else in a file of mode 0600,
like the ones that the hubs' own clients keep.  The file says of each where it is, so a keyring is
asked only for what is in it: one that is locked stands in nobody's way before.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from runner.errors import InvalidRequest, StoreError
from runner.service.private import PrivateFile
from runner.service.wallet import Wallet

logger = logging.getLogger(__name__)

#: The secrets there can be.
NAMES = ("hf", "modelscope")
_MAX_LENGTH = 4096
#: Where a secret is kept.
FILE, KEYRING = "file", "keyring"
#: Stands in the file for what is in the keyring; with its blanks it is no token.
_ELSEWHERE = "in the keyring"
#: Seconds until a keyring that could not be asked is asked again.
_AGAIN_S = 60.0


class SecretService:
    """All secrets of one daemon; owns the file.  Reading is safe from any thread."""

    def __init__(self, path: Path, wallet: Wallet | None = None) -> None:
        """Read the file; blocks.  Without a ``wallet`` all are kept in the file.

        Raises:
            StoreError: It cannot be read, is damaged, or of a later version.
        """
        self._file = PrivateFile(
            path, "secrets", "the secrets", "remove the file 'secrets' and set them again"
        )
        self._values = self._file.read()
        self._wallet = wallet
        self._read: dict[str, str | None] = {}  # out of the keyring
        self._asked_s: dict[str, float] = {}
        self._asking = threading.Lock()
        self._writing = asyncio.Lock()

    def get(self, name: str) -> str | None:
        """Return a secret; ``None``: it is not set.  May block, for what is in the keyring."""
        value = self._values.get(name)
        return self._from_keyring(name) if value == _ELSEWHERE else value

    def list_names(self) -> Mapping[str, bool]:
        """Return which there can be, and whether each is set."""
        return {name: name in self._values for name in NAMES}

    def list_places(self) -> Mapping[str, str]:
        """Return where each that is set is kept: ``file`` or ``keyring``."""
        return {
            name: KEYRING if value == _ELSEWHERE else FILE
            for name, value in self._values.items()
            if name in NAMES
        }

    async def put(self, name: str, value: str | None) -> None:
        """Set a secret; ``None`` takes it away.

        Raises:
            InvalidRequest: There is no such secret, or the value can be no token.
            StoreError: It cannot be saved.
        """
        if name not in NAMES:
            raise InvalidRequest(
                f"there is no secret '{name[:40]}'",
                hint=f"one of: {', '.join(NAMES)}",
                param="name",
            )
        if value is not None and not _is_token(value):
            raise InvalidRequest(
                "'value' must be a token: printable characters without spaces,"
                f" at most {_MAX_LENGTH}",
                param="value",
            )
        async with self._writing:
            self._values = await asyncio.to_thread(self._put, name, value)
        logger.info("secret %s name=%s", "removed" if value is None else "set", name)

    def _put(self, name: str, value: str | None) -> dict[str, str]:
        """Keep a secret where it is kept best; returns what the file has then."""
        values = {key: kept for key, kept in self._values.items() if key != name}
        was_elsewhere = self._values.get(name) == _ELSEWHERE
        is_elsewhere = value is not None and self._took(name, value)
        if value is not None:
            values[name] = _ELSEWHERE if is_elsewhere else value
        self._file.write(values)
        with self._asking:
            self._read[name] = value
        if was_elsewhere and not is_elsewhere and self._wallet is not None:
            try:
                self._wallet.remove(name)
            except StoreError as error:  # nothing reads it any more
                logger.warning("a secret stays in the keyring name=%s: %s", name, error.message)
        return values

    def _took(self, name: str, value: str) -> bool:
        """Whether the keyring keeps the secret now."""
        if self._wallet is None or not self._wallet.is_there():
            return False
        try:
            self._wallet.write(name, value)
        except StoreError as error:
            logger.warning("a secret is kept in the file name=%s: %s", name, error.message)
            return False
        return True

    def _from_keyring(self, name: str) -> str | None:
        with self._asking:
            if name in self._read:
                return self._read[name]
            now = time.monotonic()
            if self._wallet is None or now - self._asked_s.get(name, -math.inf) < _AGAIN_S:
                return None
            try:
                self._read[name] = self._wallet.read(name)
            except StoreError as error:
                self._asked_s[name] = time.monotonic()
                logger.warning("a secret is not at hand name=%s: %s", name, error.message)
                return None
            return self._read[name]


def _is_token(value: str) -> bool:
    # It goes into a header: nothing in it may end one.
    return 0 < len(value) <= _MAX_LENGTH and value.isascii() and all("!" <= c <= "~" for c in value)
