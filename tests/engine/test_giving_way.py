"""Giving way on the real engine: the answer is the undisturbed one, nothing is computed twice."""

from __future__ import annotations

import pytest

from runner.domain.options import SamplingParams
from runner.domain.request import Priority, Terms
from runner.domain.running import RequestState
from runner.protocol.messages import Generate, Inspect, Outcome, Step
from tests.engine.running import Running

pytestmark = pytest.mark.live

#: The starter is sure of every digit, so the width of a batch does not change its mind.
COUNT = "Count: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,"
#: The likeliest token; a seed keeps each from sharing another's beginning.
APART = SamplingParams(temperature=1, top_k=1, seed=1, ignore_eos=True)
N_BATCH, N_CHAT = 60, 20


def ask(name: str, n: int, priority: Priority) -> Generate:
    return Generate(name, APART, prompt=COUNT, max_tokens=n, terms=Terms(priority))


def n_computed(running: Running) -> int:
    return max((m.n_tokens for m in running.sent if isinstance(m, Step)), default=0)


@pytest.mark.parametrize("n_host_bytes", [0, 64 << 20], ids=["computed again", "restored"])
def test_the_answer_of_one_that_gave_way_is_the_undisturbed_one(starter, n_host_bytes):
    """Nine with a higher class want more cells than there are left."""
    starter.clear()
    with Running(starter.model, starter, n_host_bytes=n_host_bytes) as running:
        alone = running.ask(ask("alone", N_BATCH, Priority.BATCH))
        assert isinstance(alone, Outcome)
        before = n_computed(running)
        running.send(ask("batch", N_BATCH, Priority.BATCH))
        running.wait(lambda: len(running.texts.get("batch", "")) > 20)
        chats = [f"chat {i}" for i in range(9)]
        for name in chats:
            running.send(ask(name, N_CHAT, Priority.INTERACTIVE))
        running.wait(lambda: all(name in running.started for name in chats))
        running.send(Inspect("where"))
        (place,) = [p for p in running.ask_where("where").places if p.request_id == "batch"]
        assert place.state is RequestState.QUEUED
        assert place.n_generated > 0
        for name in [*chats, "batch"]:
            running.ending(name)
        n_prompt = running.started["batch"].n_prompt
        n_once = n_prompt + N_BATCH - 1 + len(chats) * (n_prompt + N_CHAT - 1)
        n_twice = n_computed(running) - before - n_once
        assert (n_twice == 0) if n_host_bytes else (n_twice > 0)
        assert running.texts["batch"] == running.texts["alone"]
        assert running.texts["batch"].startswith(" 15, 16, 17,")
    starter.clear()
