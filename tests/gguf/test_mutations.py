"""Headers with wrong bytes: each is read or refused, in bounded time and memory.

``CORRAL_SOAK=1`` reads ten thousand of them, and gives those that pass to llama.cpp in a worker.
"""

from __future__ import annotations

import os
import random
import struct
import tracemalloc

import pytest

from runner.errors import BadModelFile
from runner.gguf.memory import weights_bytes
from runner.gguf.metadata import describe, join_shards, refuse_unrunnable, refuse_wrong_kind
from runner.gguf.reader import Header, read_header
from tests.fakes.models import tiny_model
from tests.fakes.projector import tiny_projector
from tests.fakes.random_models import random_adapter, random_hybrid, random_mamba

IS_SOAK = bool(os.environ.get("CORRAL_SOAK"))
N_MUTANTS = 10_000 if IS_SOAK else 1_200
#: Beyond the file itself; a header of these files has some kilobytes.
MOST_BYTES = 64 << 20
#: Numbers that overflow something, somewhere.
NUMBERS = (0, 1, 2**7, 2**15, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**62, 2**63 - 1, 2**64 - 1)


def mutated(content: bytes, n_header: int, dice: random.Random) -> bytes:
    """``content`` with one to four wounds in its first ``n_header`` bytes."""
    wounded = bytearray(content)
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(4, max(5, min(n_header, len(wounded))))
        match dice.randrange(6):
            case 0:
                wounded[at] ^= 1 << dice.randrange(8)
            case 1:
                wounded[at : at + 8] = struct.pack("<Q", dice.choice(NUMBERS))
            case 2:
                wounded[at : at + 4] = struct.pack("<I", dice.choice(NUMBERS) & 0xFFFFFFFF)
            case 3:
                wounded[at : at + dice.randrange(32)] = b""
            case 4:
                wounded[at:at] = dice.randbytes(dice.randrange(32))
            case 5:
                del wounded[dice.randrange(at, len(wounded) + 1) :]
    return bytes(wounded)


def judged(path) -> Header | None:
    """The header when everything that reads one is content with it."""
    try:
        header = read_header(path)
        describe(header)
        weights_bytes(header)
        refuse_unrunnable(header)
        join_shards([header])
    except BadModelFile as error:
        assert error.message
        return None
    return header


@pytest.mark.parametrize(
    "make", [tiny_model, random_mamba, random_hybrid, random_adapter, tiny_projector]
)
@pytest.mark.timeout(900)
def test_a_header_with_wrong_bytes_is_read_or_refused(tmp_path, make):
    dice = random.Random(make.__name__)
    content = make(tmp_path / "whole.gguf").read_bytes()
    n_header = read_header(tmp_path / "whole.gguf").data_offset
    path = tmp_path / "mutant.gguf"
    n_passed = 0
    tracemalloc.start()
    try:
        for _ in range(N_MUTANTS // 5):
            path.write_bytes(mutated(content, n_header, dice))
            n_passed += judged(path) is not None
            for kind in ("projector", "adapter"):
                try:
                    refuse_wrong_kind(read_header(path), kind)
                except BadModelFile:
                    continue
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert n_passed < N_MUTANTS // 5, "wounds are noticed"
    assert most < MOST_BYTES
