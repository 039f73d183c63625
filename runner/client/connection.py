"""One HTTP request to the daemon and its reply, as JSON or as lines of JSON.

Failures of the network and errors in the reply both become ``CorralError``.  Settings for
proxies are not looked at, so none can come between us and the daemon.  How HTTP is spoken is
``http1.py``'s, what the JSON means ``decode.py``'s.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any, BinaryIO, Generic, TypeVar
from urllib.parse import urlsplit

from runner.client.http1 import BadReply, Response, exchange
from runner.client.reach import NotTrusted, reach
from runner.errors import CorralError, DaemonError, from_code

#: JSON object, as ``json`` gives it.
Json = dict[str, Any]
T = TypeVar("T")

CONNECT_S = 5.0  # until the connection stands
ANSWER_S = 60.0  # between two pieces of a reply that needs no model
LOGS_HINT = "see what happened with: corral daemon logs"


class Exchange:
    """One request on a connection of its own; used by one thread, closed by any."""

    def __init__(
        self,
        url: str,
        method: str,
        path: str,
        *,
        body: Json | None,
        token: str = "",
        certificate: str = "",
    ) -> None:
        parts = urlsplit(url)
        self._url, self._certificate = url, certificate
        self.place = parts.netloc or url
        self.is_closed = False
        self._request = method, path
        self._body = None if body is None else json.dumps(body).encode()
        self._headers = {"Host": parts.netloc or "localhost"}
        if body is not None:
            self._headers["Content-Type"] = "application/json"
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._peer = parts.hostname or parts.path
        self._socket: socket.socket | None = None
        self._file: BinaryIO | None = None

    def open(self, timeout_s: float | None) -> Response:
        """Send the request; return the reply once its status is known, whatever it is.

        Args:
            timeout_s: Longest silence from here on; ``None``: any.

        Raises:
            DaemonError: Nothing answers there, not in time, or not in HTTP.
        """
        method, path = self._request
        try:
            self._socket = reach(self._url, CONNECT_S, certificate=self._certificate)
            if self.is_closed:  # meanwhile: nobody was there to be woken
                raise ConnectionAbortedError
            self._socket.settimeout(timeout_s)
            response, self._file = exchange(
                self._socket, method, path, headers=self._headers, body=self._body
            )
            return response
        except (OSError, BadReply) as error:
            raise self._unreachable(error, timeout_s) from error

    def reply(self, timeout_s: float | None) -> Response:
        """Send the request; return the reply if it is a success.

        Raises:
            CorralError: What the reply says went wrong.
            DaemonError: As ``open``.
        """
        response = self.open(timeout_s)
        if response.status < 400:
            return response
        try:
            raw = response.read()
        except (OSError, BadReply):
            raw = b""
        raise refusal(response.status, raw)

    def lines(self) -> Generator[Json, None, None]:
        """Yield the objects of a streamed reply; ends early and quietly when closed.

        Raises:
            CorralError: A line that reports an error.
            DaemonError: As ``open``, or a line that is not JSON.
        """
        try:
            response = self.reply(timeout_s=None)
            while line := response.readline():
                if line.strip():
                    yield self._object(line)
        except (OSError, BadReply) as error:
            if not self.is_closed:
                raise self._lost() from error
        except DaemonError:
            if not self.is_closed:
                raise
        if not self.is_closed:
            raise self._lost()  # the caller stops at the line that ends the reply

    @property
    def has_reached(self) -> bool:
        """Whether a connection stood, whatever came of it."""
        return self._socket is not None

    def close(self) -> None:
        """Give the request up; a thread that waits for the reply wakes at once."""
        self.is_closed = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def release(self) -> None:
        """Close the connection; called only by the thread that uses it."""
        if self._file is not None:
            self._file.close()
        if self._socket is not None:
            self._socket.close()

    def _object(self, line: bytes) -> Json:
        try:
            value = json.loads(line)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            shown = line[:60].decode(errors="replace").strip()
            raise DaemonError(f"the daemon sent a line that is not JSON: {shown}", hint=LOGS_HINT)
        if "error" in value:
            raise described(value, "")
        return value

    def _lost(self) -> DaemonError:
        return DaemonError(
            f"the connection to {self.place} was lost before the answer ended", hint=LOGS_HINT
        )

    def _unreachable(self, error: Exception, timeout_s: float | None) -> DaemonError:
        match error:
            case NotTrusted():
                return DaemonError(
                    f"the certificate of {self.place} is not trusted: {error}",
                    hint="name the file of its certificate or authority in SSL_CERT_FILE",
                )
            case FileNotFoundError() | ConnectionRefusedError():
                return DaemonError(
                    f"no daemon answers at {self.place}", hint="start it with: corral serve"
                )
            case TimeoutError():
                limit = CONNECT_S if self._socket is None else timeout_s
                return DaemonError(f"{self.place} did not answer within {limit:g} s")
            case socket.gaierror():
                return DaemonError(f"there is no host '{self._peer}'", hint="check CORRAL_HOST")
            case ConnectionError():
                return DaemonError(
                    f"{self.place} closed the connection without an answer", hint=LOGS_HINT
                )
            case BadReply():
                return DaemonError(f"what answers at {self.place} does not speak HTTP")
            case _:
                return DaemonError(f"cannot reach {self.place}: {error}")


class Stream(Generic[T]):
    """A reply that arrives in pieces; nothing is sent before the first is asked for.

    One thread iterates.  ``close`` may come from any: it cancels the request, and the iteration
    then ends as if the reply had.

    Attributes:
        last: The JSON object that ended the reply; empty until then.
    """

    def __init__(
        self,
        exchange: Exchange,
        decode: Callable[[Json], tuple[T, ...]],
        is_last: Callable[[Json], bool],
    ) -> None:
        self.last: Json = {}
        self._exchange = exchange
        self._decode = decode
        self._is_last = is_last
        self._items = self._run()

    def __iter__(self) -> Stream[T]:
        return self

    def __next__(self) -> T:
        return next(self._items)

    def __enter__(self) -> Stream[T]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Cancel what has not arrived; harmless when all has."""
        self._exchange.close()
        with contextlib.suppress(ValueError):  # another thread is inside; it ends by itself
            self._items.close()

    def _run(self) -> Generator[T, None, None]:
        try:
            for line in self._exchange.lines():
                yield from decoded(self._decode, line)
                if self._is_last(line):
                    self.last = line
                    return
        finally:
            self._exchange.release()


def decoded(decode: Callable[[Json], T], value: Json) -> T:
    """Return ``decode(value)``.

    Raises:
        DaemonError: ``value`` has not the shape that ``decode`` knows.
    """
    try:
        return decode(value)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DaemonError(
            f"the daemon's answer cannot be understood ({type(error).__name__}: {error})",
            hint="is it of another version? compare with: corral --version",
        ) from error


def refusal(status: int, raw: bytes) -> CorralError:
    """Return the error of a reply with an error status and the body ``raw``."""
    try:
        value = json.loads(raw)
    except ValueError:
        value = None
    if isinstance(value, dict) and "error" in value:
        return described(value, f" (HTTP {status})")
    text = raw[:200].decode(errors="replace").strip()
    return DaemonError(
        f"the daemon answered with HTTP {status}" + (f": {text}" if text else ""), hint=LOGS_HINT
    )


def described(value: Json, suffix: str) -> CorralError:
    """Return the error that ``{"error", "code", "hint"}`` describes; only the first is certain."""
    text, code, hint = str(value["error"]), value.get("code"), value.get("hint")
    if isinstance(code, str) and code:
        return from_code(code, text, hint if isinstance(hint, str) else "")
    return DaemonError(text + suffix, hint=hint if isinstance(hint, str) else "")
