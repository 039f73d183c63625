"""The keyring of the desktop: Keychain, Credential Locker, Secret Service, KWallet.

The library ``keyring`` finds it, if that is installed and the desktop has one.  A keyring may ask
its user to unlock it, for as long as it takes: each call is given up after a while.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from runner.errors import StoreError

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Seconds that a call may take: somebody may have to type a password.
_PATIENCE_S = 30.0


class Wallet:
    """The secrets of one home in it.  All methods block; any thread."""

    def __init__(self, home: Path, *, patience_s: float = _PATIENCE_S) -> None:
        """``home`` tells the secrets of several daemons of one user apart."""
        self._service = f"Corral {home}"
        self._patience_s = patience_s

    def is_there(self) -> bool:
        """Whether the desktop has a keyring that keeps secrets as they should be kept."""
        try:
            # ``keyring`` itself recommends backends from 1 on; others keep in plain sight, or not.
            return bool(self._within(lambda: _backend().priority >= 1))
        except StoreError:
            return False

    def read(self, name: str) -> str | None:
        """Return a secret; ``None``: the keyring has none of that name.

        Raises:
            StoreError: It cannot be asked, or is locked.
        """
        found = self._within(lambda: _backend().get_password(self._service, name))
        return None if found is None else str(found)

    def write(self, name: str, value: str) -> None:
        """Keep a secret; raises as ``read``."""
        self._within(lambda: _backend().set_password(self._service, name, value))

    def remove(self, name: str) -> None:
        """Take a secret away, if it is there; raises as ``read``."""
        if self.read(name) is not None:
            self._within(lambda: _backend().delete_password(self._service, name))

    def _within(self, work: Callable[[], T]) -> T:
        """Return what ``work`` returns, if it does in time; what it raises is never told."""
        results: list[T] = []
        failures: list[Exception] = []

        def run() -> None:
            try:
                results.append(work())
            except Exception as error:  # each backend has errors of its own
                failures.append(error)

        thread = threading.Thread(target=run, name="keyring", daemon=True)
        thread.start()
        thread.join(self._patience_s)
        if results:
            return results[0]
        reason = f"no answer within {self._patience_s:g} seconds"
        if failures:
            reason = type(failures[0]).__name__  # its words may have anything in them
        raise StoreError(
            f"the desktop's keyring cannot be used: {reason}", hint="unlock it, and try again"
        )


def _backend() -> Any:
    import keyring  # here: it asks the desktop, and is loaded where there is a secret only

    return keyring.get_keyring()
