"""Damaged files that the gate lets through: llama.cpp loads or refuses them, the daemon goes on."""

from __future__ import annotations

import os
import random

import pytest

from runner.errors import BadModelFile
from runner.gguf.reader import read_header
from runner.store.gate import checked
from tests.fakes.models import tiny_model
from tests.gguf.test_mutations import mutated
from tests.live.talk import answers_well
from tests.real_daemon import RealDaemon

pytestmark = pytest.mark.live

N_TRIED = 300 if os.environ.get("CORRAL_SOAK") else 6


@pytest.mark.timeout(3600)
def test_what_passes_the_gate_cannot_end_the_daemon(tmp_path, tiny):
    """Each answers, or fails with a worker's or the file's own error; the next model answers."""
    dice = random.Random(23)
    source = tiny_model(tmp_path / "whole.gguf")
    content, n_header = source.read_bytes(), read_header(source).data_offset
    path, n_tried = tmp_path / "mutant.gguf", 0
    with RealDaemon(tmp_path / "home") as daemon:
        daemon.take_in(tiny, "tiny")
        while n_tried < N_TRIED:
            path.write_bytes(mutated(content, n_header, dice))
            try:
                checked(path)
            except BadModelFile:
                continue
            n_tried += 1
            reply = daemon.ask(
                "POST", "/api/pull", {"path": str(path), "model": "mutant"}, owner=True
            )
            assert reply.lines[-1].get("status") == "success", reply.body
            asked = {"model": "mutant", "prompt": "a", "raw": True, "stream": False}
            options = {"num_predict": 2, "num_ctx": 64}
            reply = daemon.ask("POST", "/api/generate", asked | {"options": options})
            assert reply.status in (200, 400, 500, 503), reply.body
            if reply.status != 200:
                assert reply.json["error"], reply.body
            daemon.ask("POST", "/api/unload", {"model": "mutant"})
        answers_well(daemon)
