"""A load generator for streaming chat endpoints, light enough to share the servers' cores.

One process, one event loop, plain sockets.  While a burst runs, each network read costs a
time-stamp and an append; the frames are taken apart when the last one has arrived.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

READ_BYTES = 65536


class BadAnswer(Exception):
    """A server did not answer as a benchmark needs it to."""


@dataclass(slots=True)
class Recording:
    """One request as it was seen from outside.

    Attributes:
        sent_s: When its last byte was handed to the socket; ``time.perf_counter``.
        reads: When bytes arrived, and which.
    """

    sent_s: float = 0.0
    reads: list[tuple[float, bytes]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Reply:
    """One finished stream; moments are ``time.perf_counter`` seconds.

    Attributes:
        sent_s: When it was sent.
        first_s: When its first text arrived.
        last_s: When its last text arrived.
        longest_gap_s: Longest wait between two of its texts.
        text: All of it.
        n_prompt: Prompt tokens, as the server counted them.
        n_cached: Of them, taken from the server's cache; 0 where it does not say.
        n_generated: Tokens generated, as the server counted them.
    """

    sent_s: float
    first_s: float
    last_s: float
    longest_gap_s: float
    text: str
    n_prompt: int
    n_cached: int
    n_generated: int


#: Seconds before each measurement: for a moment after an answer the threads of the server that gave
#: it still spin, and take half the cores from the other.
REST_S = 0.5


def burst(
    address: tuple[str, int],
    bodies: Sequence[dict[str, Any]],
    *,
    apart_s: float = 0.0,
    n_at_once: int | None = None,
) -> list[Reply]:
    """Send all ``bodies`` to ``/v1/chat/completions``; returns when all have ended.

    They leave at once, or ``apart_s`` seconds after each other, or the next as soon as fewer than
    ``n_at_once`` are unanswered.  Connecting is not measured.

    Raises:
        BadAnswer: A status other than 200, a stream cut short, or one without text or usage.
    """
    time.sleep(REST_S)
    gc.collect()
    gc.disable()
    try:
        requests = [_request(address, body) for body in bodies]
        recordings = asyncio.run(_burst(address, requests, apart_s, n_at_once or len(bodies)))
    finally:
        gc.enable()
    return [parse(recording) for recording in recordings]


async def _burst(
    address: tuple[str, int], requests: Sequence[bytes], apart_s: float, n_at_once: int
) -> list[Recording]:
    streams = [await asyncio.open_connection(*address) for _ in requests[:n_at_once]]
    turns = asyncio.Semaphore(n_at_once)  # first come, first served

    async def record(request: bytes, wait_s: float) -> Recording:
        async with turns:
            # A server closes a connection that is silent for long: open no more than speak.
            reader, writer = streams.pop() if streams else await asyncio.open_connection(*address)
            with contextlib.closing(writer):
                return await _record(reader, writer, request, wait_s)

    return await asyncio.gather(
        *(record(request, i * apart_s) for i, request in enumerate(requests))
    )


async def _record(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    request: bytes,
    wait_s: float,
) -> Recording:
    """Send one request after ``wait_s``, and stamp all that comes back until the server closes."""
    recording = Recording()
    if wait_s:
        await asyncio.sleep(wait_s)
    writer.write(request)
    await writer.drain()
    recording.sent_s = time.perf_counter()
    while read := await reader.read(READ_BYTES):
        recording.reads.append((time.perf_counter(), read))
    return recording


def _request(address: tuple[str, int], body: dict[str, Any]) -> bytes:
    content = json.dumps(body).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\n"
        f"Host: {address[0]}:{address[1]}\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + content


def parse(recording: Recording) -> Reply:
    """Return what a recording says.

    Raises:
        BadAnswer: See ``burst``.
    """
    moments: list[float] = []
    text: list[str] = []
    usage: dict[str, Any] = {}
    ended = False
    for moment, data in _data_lines(recording):
        if data == b"[DONE]":
            ended = True
            continue
        frame = json.loads(data)
        if "error" in frame:
            raise BadAnswer(f"the stream carries an error: {frame['error']}")
        for choice in frame["choices"]:
            if piece := choice["delta"].get("content"):
                moments.append(moment)
                text.append(piece)
        usage = frame.get("usage") or usage
    if not ended or not moments or not usage:
        raise BadAnswer(
            f"the stream has {len(moments)} frames with text, "
            f"{'a' if usage else 'no'} usage and {'an' if ended else 'no'} end"
        )
    details = usage.get("prompt_tokens_details") or {}
    return Reply(
        sent_s=recording.sent_s,
        first_s=moments[0],
        last_s=moments[-1],
        longest_gap_s=max((b - a for a, b in pairwise(moments)), default=0.0),
        text="".join(text),
        n_prompt=usage["prompt_tokens"],
        n_cached=details.get("cached_tokens") or 0,
        n_generated=usage["completion_tokens"],
    )


def _data_lines(recording: Recording) -> Iterator[tuple[float, bytes]]:
    """Yield the content of each ``data:`` line and when its last byte arrived.

    A line is complete at its newline, wherever reads and HTTP chunks were cut.  Chunk sizes are
    taken out first: they may stand in the middle of a line.
    """
    line = bytearray()
    for moment, content in _contents(recording):
        line += content
        while (end := line.find(b"\n")) >= 0:
            word, _, value = bytes(line[:end]).strip().partition(b":")
            del line[: end + 1]
            if word == b"data":
                yield moment, value.strip()


def _contents(recording: Recording) -> Iterator[tuple[float, bytes]]:
    """Yield the body's bytes without head and chunk sizes, as they arrived."""
    pending = bytearray()
    head: bytes | None = None
    left = 0  # bytes of the present chunk still to come, its closing CRLF included
    for moment, read in recording.reads:
        pending += read
        if head is None:
            if b"\r\n\r\n" not in pending:
                continue
            head, _, rest = bytes(pending).partition(b"\r\n\r\n")
            if head.split(b" ", 2)[1] != b"200":
                raise BadAnswer((head.splitlines()[0] + b" " + rest[:300]).decode())
            pending = bytearray(rest)
        if b"chunked" not in head.lower():
            yield moment, bytes(pending)
            pending.clear()
            continue
        while pending:
            if not left:
                size, newline, rest = bytes(pending).partition(b"\r\n")
                if not newline:
                    break
                left = int(size.partition(b";")[0], 16) + 2
                pending = bytearray(rest)
            taken = bytes(pending[:left])
            del pending[: len(taken)]
            yield moment, taken[: max(0, left - 2)]
            left -= len(taken)
