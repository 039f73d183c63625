"""The load generator: what it reads is what was sent, however the bytes were cut."""

from __future__ import annotations

import asyncio
import json
import threading
from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from bench.load import BadAnswer, Recording, burst, parse

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
USAGE = {
    "prompt_tokens": 7,
    "completion_tokens": 3,
    "prompt_tokens_details": {"cached_tokens": 2},
}


def frame(text: str | None) -> dict:
    return {"choices": [{"index": 0, "delta": {"content": text}}]}


def stream(texts: list[str], *, end: bool = True) -> list[bytes]:
    """The frames of a whole answer, as both servers send them."""
    frames = [frame(None), *map(frame, texts), {"choices": [], "usage": USAGE}]
    lines = [b"data: " + json.dumps(item).encode() + b"\n\n" for item in frames]
    return lines + [b"data: [DONE]\n\n"] * end


def chunked(parts: list[bytes]) -> bytes:
    chunks = [b"%x\r\n%s\r\n" % (len(part), part) for part in parts]
    return HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(chunks) + b"0\r\n\r\n"


def plain(parts: list[bytes]) -> bytes:
    return HEAD + b"Connection: close\r\n\r\n" + b"".join(parts)


def recorded(wire: bytes, cuts: list[int]) -> Recording:
    """``wire`` as it arrives when the network cuts it at ``cuts``, one read a second."""
    edges = [0, *sorted(cut % (len(wire) + 1) for cut in cuts), len(wire)]
    parts = [wire[start:stop] for start, stop in pairwise(edges)]
    return Recording(0.0, [(float(i), part) for i, part in enumerate(parts, 1) if part])


texts = st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=6)


@given(texts=texts, cuts=st.lists(st.integers(0, 10_000), max_size=8), whole=st.booleans())
def test_reads_may_be_cut_anywhere(texts, cuts, whole):
    wire = plain(stream(texts)) if whole else chunked(stream(texts))
    reply = parse(recorded(wire, cuts))
    assert reply.text == "".join(texts)
    assert (reply.n_prompt, reply.n_cached, reply.n_generated) == (7, 2, 3)
    assert 0 < reply.first_s <= reply.last_s


def test_a_text_counts_when_its_last_byte_is_there():
    frames = stream(["one", "two"])
    wire = [plain(frames[:1]), frames[1][:9], frames[1][9:], frames[2], b"".join(frames[3:])]
    reply = parse(Recording(0.5, [(float(i), part) for i, part in enumerate(wire, 1)]))
    assert (reply.sent_s, reply.first_s, reply.last_s) == (0.5, 3.0, 4.0)


@pytest.mark.parametrize(
    ("wire", "said"),
    [
        (b"HTTP/1.1 404 Not Found\r\n\r\n{'no': 'model'}", "404 Not Found"),
        (plain(stream(["a"], end=False)), "no end"),
        (plain(stream([])), "0 frames with text"),
        (plain([b'data: {"error": {"message": "worker died"}}\n\n']), "worker died"),
        (b"", "no end"),
    ],
)
def test_a_bad_answer_is_no_figure(wire, said):
    with pytest.raises(BadAnswer, match=said):
        parse(recorded(wire, []))


@pytest.mark.parametrize(("n", "n_at_once"), [(3, None), (6, 3), (4, 1)])
def test_so_many_are_unanswered_at_a_time(n, n_at_once):
    """The server answers nobody before a full set of requests is there, and sees never more."""
    n_set = n_at_once or n
    together = threading.Barrier(n_set)
    bodies, open_now, most = [], set(), []

    async def answer(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        bodies.append(json.loads(await reader.readexactly(length)))
        open_now.add(writer)
        most.append(len(open_now))
        await asyncio.to_thread(together.wait, 20)
        open_now.discard(writer)
        writer.write(chunked(stream([bodies[-1]["model"], "!"])))
        await writer.drain()
        writer.close()

    started, address = threading.Event(), []
    loop = asyncio.new_event_loop()

    async def serve():
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        address.extend(server.sockets[0].getsockname())
        started.set()
        async with server:
            await finished.wait()

    finished = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert started.wait(60)
        sent = [{"model": "m", "n": i} for i in range(n)]
        replies = burst((address[0], address[1]), sent, n_at_once=n_at_once)
    finally:
        loop.call_soon_threadsafe(finished.set)
        thread.join(60)
        loop.close()
    assert [reply.text for reply in replies] == ["m!"] * n
    assert sorted(body["n"] for body in bodies) == list(range(n))
    assert max(most) == n_set
