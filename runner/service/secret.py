"""Tokens of model hubs: kept for the hubs' clients, never told to anybody else.

They lie in a file of mode 0600, like the ones that the hubs' own clients keep.  A keyring of the
desktop would be better where there is one, but asks its user to unlock it, and a daemon that
starts before anybody has logged in has nobody to ask.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path

from runner.errors import InvalidRequest
from runner.service.private import PrivateFile

logger = logging.getLogger(__name__)

#: The secrets there can be.
NAMES = ("hf", "modelscope")
_MAX_LENGTH = 4096


class SecretService:
    """All secrets of one daemon; owns the file.  Reading is safe from any thread."""

    def __init__(self, path: Path) -> None:
        """Read the file; blocks.

        Raises:
            StoreError: It cannot be read, is damaged, or of a later version.
        """
        self._file = PrivateFile(
            path, "secrets", "the secrets", "remove the file 'secrets' and set them again"
        )
        self._values = self._file.read()
        self._writing = asyncio.Lock()

    def get(self, name: str) -> str | None:
        """Return a secret; ``None``: it is not set."""
        return self._values.get(name)

    def list_names(self) -> Mapping[str, bool]:
        """Return which there can be, and whether each is set."""
        return {name: name in self._values for name in NAMES}

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
            values = {key: kept for key, kept in self._values.items() if key != name}
            if value is not None:
                values[name] = value
            await asyncio.to_thread(self._file.write, values)
            self._values = values
        logger.info("secret %s name=%s", "removed" if value is None else "set", name)


def _is_token(value: str) -> bool:
    # It goes into a header: nothing in it may end one.
    return 0 < len(value) <= _MAX_LENGTH and value.isascii() and all("!" <= c <= "~" for c in value)
