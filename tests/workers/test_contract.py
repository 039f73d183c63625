"""What every worker promises the daemon: the scripted one, and the real one on a tiny model."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from runner.domain.event import FinishReason
from runner.domain.options import SamplingParams
from runner.protocol.codec import FrameReader, encode
from runner.protocol.messages import (
    Abort,
    Delta,
    Failed,
    Generate,
    Load,
    Loaded,
    Shutdown,
    Started,
    Step,
    Tokenize,
    Tokenized,
)
from tests.fakes.models import tiny_model
from tests.fakes.worker import COMMAND

REAL = [sys.executable, "-P", "-m", "runner", "_worker", "info"]


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.live)])
def command(request):
    return COMMAND if request.param == "fake" else REAL


@pytest.fixture
def path(tmp_path):
    return tiny_model(tmp_path / "tiny.gguf", n_ctx_train=65536)


@dataclass
class Line:
    """One worker and all it has said, in order."""

    process: asyncio.subprocess.Process
    said: list = field(default_factory=list)
    reader: FrameReader = field(default_factory=FrameReader)

    def send(self, *messages) -> None:
        self.process.stdin.write(b"".join(map(encode, messages)))

    async def until(self, is_it):
        """Read until a message (or a delta in one) is what is waited for; return it."""
        async with asyncio.timeout(60):
            while True:
                chunk = await self.process.stdout.read(1 << 16)
                assert chunk, "the worker has ended"
                fresh = [part for message in self.reader.feed(chunk) for part in parts(message)]
                self.said += fresh
                if found := next(filter(is_it, fresh), None):
                    return found

    async def end_of(self, request_id):
        return await self.until(lambda part: is_end(part) and part.request_id == request_id)

    def of(self, request_id) -> list:
        return [part for part in self.said if part.request_id == request_id]


def parts(message):
    return message.deltas if isinstance(message, Step) else (message,)


def is_end(part) -> bool:
    is_last = isinstance(part, Delta) and part.finish is not None
    return is_last or isinstance(part, Loaded | Tokenized | Failed)


def generate(request_id, *, max_tokens=None, n_ctx=0, prompt="on"):
    return Generate(request_id, SamplingParams(), prompt=prompt, max_tokens=max_tokens, n_ctx=n_ctx)


@asynccontextmanager
async def line(command, path: Path, *, is_loaded=True):
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    it = Line(process)
    try:
        if is_loaded:
            it.send(Load("load", str(path), n_ctx=4096, n_cells=8192, n_seq_max=4, n_threads=1))
            loaded = await it.end_of("load")
            assert isinstance(loaded, Loaded)
            assert (loaded.n_ctx, loaded.n_cells) == (4096, 8192)
        yield it
    finally:
        if process.returncode is None:
            process.kill()
        process.stdin.close()
        await process.wait()
        process._transport.close()


def test_a_request_starts_once_speaks_and_ends_once(command, path):
    async def story():
        async with line(command, path) as it:
            it.send(generate("a", max_tokens=5))
            end = await it.end_of("a")
            assert end.finish.reason is FinishReason.LENGTH
            assert end.finish.n_generated == 5
            started, *deltas = it.of("a")
            assert isinstance(started, Started)
            assert started.n_prompt > 0
            assert all(isinstance(delta, Delta) for delta in deltas)
            assert "".join(delta.text for delta in deltas)
            assert [is_end(delta) for delta in deltas].count(True) == 1

    asyncio.run(story())


def test_every_request_ends_once_and_is_silent_after_its_end(command, path):
    async def story():
        async with line(command, path) as it:
            for i in range(8):
                it.send(generate(f"r{i}", max_tokens=None if i % 2 else 3 * i + 1))
            await it.until(lambda part: isinstance(part, Delta) and part.request_id == "r3")
            it.send(*(Abort(f"r{i}") for i in range(8)), Abort("nobody"))
            open_ones = {f"r{i}" for i in range(8)} - {p.request_id for p in it.said if is_end(p)}
            while open_ones:
                end = await it.until(is_end)
                assert end
                open_ones -= {part.request_id for part in it.said if is_end(part)}
            it.send(Tokenize("last", "x"))
            await it.end_of("last")
            for i in range(8):
                said = it.of(f"r{i}")
                assert [is_end(part) for part in said].count(True) == 1
                assert is_end(said[-1])
            assert not it.of("nobody")

    asyncio.run(story())


def test_an_aborted_request_says_so(command, path):
    async def story():
        async with line(command, path) as it:
            it.send(generate("a"))
            await it.until(lambda part: isinstance(part, Delta))
            it.send(Abort("a"))
            assert (await it.end_of("a")).finish.reason is FinishReason.ABORTED

    asyncio.run(story())


def test_text_is_turned_into_tokens(command, path):
    async def story():
        async with line(command, path) as it:
            it.send(Tokenize("t", "abc"))
            assert len((await it.end_of("t")).tokens) >= 3

    asyncio.run(story())


def test_counters_only_grow(command, path):
    async def story():
        async with line(command, path) as it:
            counts = []
            it.send(generate("a", max_tokens=300), generate("b", max_tokens=300))
            async with asyncio.timeout(60):
                ends = 0
                while ends < 2:
                    chunk = await it.process.stdout.read(1 << 16)
                    for message in it.reader.feed(chunk):
                        if isinstance(message, Step):
                            counts.append((message.n_steps, message.n_tokens))
                            ends += sum(delta.finish is not None for delta in message.deltas)
            assert counts == sorted(counts)
            assert counts[-1][0] < 600  # both in one step, at least now and then

    asyncio.run(story())


@pytest.mark.parametrize("when", ["before its load", "idle", "answering"])
@pytest.mark.parametrize("how", ["shutdown", "end of the pipe"])
def test_it_ends_when_told_to_and_when_nobody_is_left_to_tell_it(command, path, when, how):
    async def story():
        async with line(command, path, is_loaded=when != "before its load") as it:
            if when == "answering":
                it.send(generate("a"))
                await it.until(lambda part: isinstance(part, Delta))
            if how == "shutdown" and when != "before its load":
                it.send(Shutdown())
            else:
                it.process.stdin.close()
            async with asyncio.timeout(60):
                while await it.process.stdout.read(1 << 16):
                    pass
                assert await it.process.wait() == 0

    asyncio.run(story())


def test_a_load_that_fails_is_told_and_ends_the_process(command, path):
    """The scripted one fails when it is told to, the real one on a file that is none."""
    bad = path.with_name("bad.gguf")
    bad.write_bytes(b"GGUF")
    bad.with_name("bad.gguf.refuse").write_text("no")

    async def story():
        async with line(command, bad, is_loaded=False) as it:
            it.send(Load("load", str(bad), n_ctx=128, n_cells=128, n_seq_max=1))
            end = await it.end_of("load")
            assert isinstance(end, Failed)
            assert (end.code, bool(end.message)) == ("worker_failed", True)
            async with asyncio.timeout(60):
                assert await it.process.wait() == 1

    asyncio.run(story())
