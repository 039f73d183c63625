"""Models of the fake worker, and the pool that holds them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

from runner.domain.model import Capability, ModelInfo
from runner.domain.name import ModelName
from runner.domain.options import SamplingParams
from runner.protocol.messages import Delta, Generate, Load
from runner.workers.pool import Pool
from runner.workers.process import Worker, new_request_id
from runner.workers.wanted import PoolSettings, Wanted
from tests.fakes.worker import COMMAND

SETTINGS = PoolSettings(
    command=COMMAND,
    keep_alive_s=300.0,
    max_resident=2,
    max_queue=8,
    n_seq_max=4,
    n_threads=1,
    load_timeout_s=60.0,
)


class Models:
    """Makes models, and tells what their workers did."""

    def __init__(self, folder):
        self.folder = folder

    def wanted(self, name="a", *, n_ctx=1024, **fixed) -> Wanted:
        info = ModelInfo(
            name=ModelName.parse(name),
            digest=name * 64,
            n_bytes=1,
            modified_at=0.0,
            architecture="llama",
            n_params=1,
            quantization="F32",
            n_ctx_train=4096,
            n_embd=8,
            capabilities=(Capability.COMPLETION,),
        )
        path = str(self.folder / name)
        return Wanted(info, name, path, n_ctx, 2 * n_ctx, tuple(fixed.items()))

    def mark(self, name, mark, text=""):
        (self.folder / f"{name}.{mark}").write_text(text)

    def unmark(self, name, mark):
        (self.folder / f"{name}.{mark}").unlink()

    def heard(self, name, word) -> list[str]:
        """What the workers of a model heard, of one kind."""
        log = self.folder / f"{name}.log"
        lines = log.read_text().splitlines() if log.exists() else []
        return [line.partition(" ")[2] for line in lines if line.split()[1] == word]


@asynccontextmanager
async def open_pool(**changes):
    pool = Pool(replace(SETTINGS, **changes))
    try:
        yield pool
    finally:
        await pool.close()


@asynccontextmanager
async def started(models, name="a", *, command=COMMAND, timeout_s=60.0, on_exit=lambda: None):
    """A ready worker."""
    worker = await Worker.start(
        name, command, load_of(models.wanted(name)), timeout_s=timeout_s, on_exit=on_exit
    )
    try:
        yield worker
    finally:
        await worker.stop()


def load_of(wanted: Wanted) -> Load:
    return Load(new_request_id(), wanted.path, wanted.n_ctx, wanted.n_cells, n_seq_max=4)


def ask(prompt: str, *, max_tokens: int | None = None) -> Generate:
    return Generate(new_request_id(), SamplingParams(), prompt=prompt, max_tokens=max_tokens)


async def until(condition, timeout_s: float = 60.0) -> None:
    """Wait until ``condition()`` holds."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - what it waits for is another process
            await asyncio.sleep(0.005)


async def first_text(replies) -> str:
    """Read up to the first text of an answer."""
    async for reply in replies:
        if isinstance(reply, Delta):
            return reply.text
    raise AssertionError("no text came")


async def whole(replies) -> list:
    return [reply async for reply in replies]
