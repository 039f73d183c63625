"""Asking a host for a range of a file, and judging by its words what it sends.

Redirects are followed here, so that a token goes to its own host alone.  A status says little: what
counts is which bytes are in the body.
"""

from __future__ import annotations

import http.client
import re
import ssl
import time
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

from runner.hub.connection import Connection
from runner.hub.patience import retry_after_s
from runner.hub.source import Candidate, RemoteFile

_MOST_HOPS = 10
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
#: Answers of a host that a redirect led to, when the link it got has expired.
_EXPIRED = frozenset({400, 401, 403, 404, 410})
_TEMPORARY = frozenset({408, 425, 429})
_RANGE = re.compile(r"bytes\s+(?:(\d{1,19})-(\d{1,19})|\*)/(\d{1,19}|\*)", re.IGNORECASE)
_SHA256 = re.compile(r'"?([0-9a-f]{64})"?', re.IGNORECASE)


class Setback(Exception):
    """A request that brought nothing.

    Attributes:
        words: What happened, for people; no URL with a query, since that may be signed.
        is_lasting: Whether the same place will say the same again.
        retry_after_s: When the host wants to be asked again, in seconds, if it said so.
        is_crowded: Whether the host refused only because it has too much to do.
    """

    def __init__(
        self,
        words: str,
        *,
        is_lasting: bool = False,
        retry_after_s: float | None = None,
        is_crowded: bool = False,
    ) -> None:
        super().__init__(words)
        self.words = words
        self.is_lasting = is_lasting
        self.retry_after_s = retry_after_s
        self.is_crowded = is_crowded


@dataclass(slots=True, eq=False)
class Origin:
    """A place that has the file.  Shared by all workers of a download, under its lock.

    Attributes:
        place: Where, and what its own host wants to see.
        file: What the file should be.
        direct: Where the last redirect led; links of this kind expire, so it is never stored.
        not_before: Clock time before which it wants to be left alone.
        is_dead: Whether it is of no use any more.
        etag: What it calls this version of the file, when it says so strongly.
    """

    place: RemoteFile | Candidate
    file: RemoteFile
    direct: str = ""
    not_before: float = 0.0
    is_dead: bool = False
    etag: str = ""

    @property
    def label(self) -> str:
        """The host, for people."""
        host = urlsplit(self.place.location).hostname
        return str(self.place.provenance.get("source") or host or "the network")


@dataclass(slots=True, eq=False)
class Body:
    """Bytes that come: those of the file from ``first`` on, up to ``last``.

    Attributes:
        first: Offset in the file of the next byte.
        last: Offset behind the last byte that was announced.
        is_whole_file: Whether the host sends the file from its beginning, whatever was asked.
        etag: A strong tag of this version of the file; empty when there is none.
    """

    first: int
    last: int
    is_whole_file: bool
    etag: str
    _response: http.client.HTTPResponse = field(repr=False)

    def read(self, n_most: int) -> bytes:
        """Return the next bytes, at least one, as they come.

        Raises:
            Setback: The connection ended, or nothing came for too long.
        """
        try:
            chunk = self._response.read1(min(n_most, self.last - self.first))
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _network(error) from None
        if not chunk:
            raise Setback(f"the connection ended {self.last - self.first} bytes too early")
        self.first += len(chunk)
        return chunk


class Wire:
    """One worker's way to the hosts; used by one thread, aborted by any."""

    def __init__(self, stall_s: float) -> None:
        self._connection = Connection(stall_s)
        self._response: http.client.HTTPResponse | None = None

    def abort(self) -> None:
        """Break off whatever is under way, for good."""
        self._connection.abort()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def finish(self) -> None:
        """Be done with the last body, read to its end or not."""
        response, self._response = self._response, None
        if response is not None:
            self._connection.finish(response)

    def ask(self, origin: Origin, first: int, last: int) -> Body:
        """Ask ``origin`` for the bytes from ``first`` up to ``last`` of its file.

        Raises:
            Setback: It has none of them for us now, or at all.
        """
        try:
            self.finish()  # with a body that broke off
            return self._ask(origin, first, last)
        except Setback:
            self.finish()
            raise
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise _network(error) from None

    def _ask(self, origin: Origin, first: int, last: int) -> Body:
        file, place = origin.file, origin.place
        asked = {"Range": f"bytes={first}-{last - 1}"}
        if not file.sha256 and origin.etag:
            asked["If-Range"] = origin.etag  # nothing else says whether it is the same file
        url = origin.direct or place.location
        for _ in range(_MOST_HOPS + 1):
            own = place.headers() if _origin_of(url) == _origin_of(place.location) else {}
            response = self._response = self._connection.get(url, {**own, **asked})
            if response.status not in _REDIRECTS:
                if url != place.location and response.status in (200, 206):
                    origin.direct = url
                return _judge(origin, response, first, last, is_direct=url != place.location)
            _compare_promise(file, response.headers)
            url = _next_hop(url, response.getheader("Location"))
            self.finish()
        raise Setback(f"{origin.label} redirects without end", is_lasting=True)


def _judge(
    origin: Origin, response: http.client.HTTPResponse, first: int, last: int, *, is_direct: bool
) -> Body:
    """Return the body of an answer.

    Args:
        origin: Who was asked.
        response: Its answer, no redirect.
        first: As asked for.
        last: As asked for.
        is_direct: Whether a redirect led here.

    Raises:
        Setback: It is no part of the file.
    """
    status, n_bytes = response.status, origin.file.n_bytes
    if status not in (200, 206):
        raise _refusal(origin, response, is_direct=is_direct)
    _compare_promise(origin.file, response.headers)
    etag = response.getheader("ETag") or ""
    etag = "" if etag.startswith("W/") else etag
    found = _RANGE.fullmatch((response.getheader("Content-Range") or "").strip())
    if found is None or found[1] is None:
        if status == 206:
            raise Setback(f"{origin.label} sent a part without saying which")
        _check_total(origin, response.length, n_bytes)  # None: chunked, or up to the end
        return Body(0, n_bytes, is_whole_file=True, etag=etag, _response=response)
    begin, end = int(found[1]), int(found[2]) + 1
    if found[3] != "*":
        _check_total(origin, int(found[3]), n_bytes)
    if begin != first or not first < end <= n_bytes:
        raise Setback(f"{origin.label} sent bytes {begin} to {end} when asked from {first} on")
    if response.length is not None and response.length != end - begin:
        raise Setback(f"{origin.label} announced {end - begin} bytes, then {response.length}")
    return Body(begin, min(end, last), is_whole_file=False, etag=etag, _response=response)


def _refusal(origin: Origin, response: http.client.HTTPResponse, *, is_direct: bool) -> Setback:
    status, who = response.status, origin.label
    if is_direct and status in _EXPIRED:
        origin.direct = ""  # such links hold for a while only; the next try asks for a new one
        return Setback(f"the link from {who} has expired (HTTP {status})")
    wait_s = retry_after_s(response.getheader("Retry-After"), time.time())
    if status == 429 or (status == 503 and wait_s is not None):
        words = f"{who} is busy (HTTP {status})"
        return Setback(words, retry_after_s=wait_s, is_crowded=True)
    if status >= 500 or status in _TEMPORARY:
        origin.direct = ""
        return Setback(f"{who} failed (HTTP {status})", retry_after_s=wait_s)
    words = {
        401: "wants a token, or does not accept the one it got",
        403: "does not allow it",
        404: "does not have the file any more",
        416: f"has a file of another size than the {origin.file.n_bytes} bytes promised",
    }.get(status, "refused")
    return Setback(f"{who} {words} (HTTP {status})", is_lasting=True)


def _check_total(origin: Origin, total: int | None, n_bytes: int) -> None:
    if total is not None and total != n_bytes:
        raise Setback(
            f"{origin.label} has a file of {total} bytes, not of the {n_bytes} bytes promised",
            is_lasting=True,
        )


def _compare_promise(file: RemoteFile, headers: http.client.HTTPMessage) -> None:
    """Compare the digest that hubs send along (``X-Linked-ETag``) with the one promised."""
    found = _SHA256.fullmatch((headers.get("X-Linked-ETag") or "").strip())
    if found and file.sha256 and found[1].lower() != file.sha256.lower():
        raise Setback(
            f"the file has changed at its source: its digest is now {found[1].lower()}",
            is_lasting=True,
        )


def _next_hop(url: str, location: str | None) -> str:
    """Return where a redirect leads.

    Raises:
        Setback: It leads nowhere, or out of TLS.
    """
    if not location:
        raise Setback("a redirect names no place to go to", is_lasting=True)
    target = urljoin(url, location.encode("latin-1").decode("utf-8", "replace"))
    scheme = urlsplit(target).scheme
    if scheme not in ("http", "https") or not urlsplit(target).hostname:
        raise Setback(f"a redirect leads to {scheme or 'nowhere'}, not to a web host")
    if urlsplit(url).scheme == "https" and scheme == "http":
        raise Setback("a redirect leads from https to http", is_lasting=True)
    return target


def _origin_of(url: str) -> tuple[str, str, int]:
    """Scheme, host and port: a header that belongs to one of these goes to no other."""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    return parts.scheme, (parts.hostname or "").lower(), port


def _network(error: Exception) -> Setback:
    """Put a failure of the network into words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = error.verify_message
        return Setback(f"the host's certificate cannot be trusted: {reason}", is_lasting=True)
    if isinstance(error, TimeoutError):
        return Setback("nothing came for too long")
    reason = getattr(error, "strerror", "") or str(error) or type(error).__name__
    return Setback(f"the connection failed: {reason}")
