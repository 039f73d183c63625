"""What the header says that a model needs is what llama.cpp allocates for it."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from runner.gguf.memory import Plan, estimate
from runner.gguf.reader import read_header
from runner.hub.packaged import find_starter
from tests.engine.reported import reported
from tests.fakes.models import tiny_model
from tests.fakes.random_models import (
    random_hybrid,
    random_llama,
    random_mamba,
    random_moe,
    random_ranker,
    random_sliding,
)

pytestmark = pytest.mark.live

MIB = 1 << 20
#: Below this, in MiB, the odd corner of a buffer counts for more than 5 %.
SLACK = 0.06

PLANS = [
    Plan(4096, 17),
    Plan(16384, 17),
    Plan(65536, 1),
    Plan(256, 1),
    Plan(4096, 17, flash_attention=False),
    Plan(16384, 3, flash_attention=False),
    Plan(16384, 17, kv_types=("f32", "f32")),
    Plan(4096, 17, n_batch=128, n_ubatch=128),
    Plan(4000, 4, n_batch=2048),
]
#: Heads of the small models cannot be packed.
PACKED = [
    Plan(8192, 17, kv_types=("q8_0", "q8_0")),
    Plan(8192, 5, kv_types=("q4_0", "q4_0")),
    Plan(8192, 17, kv_types=("q8_0", "f16")),
]


def model(kind, folder):
    path = folder / f"{kind}.gguf"
    match kind:
        case "starter":
            return find_starter()
        case "tiny":
            return tiny_model(path)
        case "llama":
            random_llama(path)
            return path
        case "sliding":
            return random_sliding(path)
        case "mamba":
            return random_mamba(path)
        case "moe":
            return random_moe(path)
        case "hybrid":
            return random_hybrid(path)
        case _:
            return random_ranker(path)


@pytest.mark.parametrize(
    "kind", ["starter", "tiny", "llama", "sliding", "mamba", "moe", "hybrid", "ranker"]
)
def test_each_buffer_is_within_5_percent(kind, tmp_path):
    path = model(kind, tmp_path)
    plans = PLANS + (PACKED if kind == "starter" else [])
    header = read_header(path)
    for plan, found in zip(
        plans, reported([{"path": str(path), **asdict(plan)} for plan in plans]), strict=True
    ):
        said = asdict(estimate(header, plan))
        for name, size in found.items():
            mine = said[name] / MIB
            assert abs(mine - size) <= max(0.05 * size, SLACK), (plan, name, mine, size)
