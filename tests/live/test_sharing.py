"""Requests share the engine's steps, and a client that leaves gives back its place."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.live.talk import PATHS, answers_well, ask, question, started
from tests.real_daemon import wait_for

pytestmark = pytest.mark.live


@pytest.mark.parametrize(("model", "n_most"), [("tiny", 200), ("smollm2", 24)])
def test_chats_at_the_same_time_share_steps(daemon, model, n_most):
    """The worker's own counter moves less than the answers have tokens."""
    ask(daemon, "ollama", model, stream=False, n_most=1, keep_alive=300)
    before = daemon.running(model)
    with ThreadPoolExecutor(2) as threads:
        replies = list(
            threads.map(
                lambda dialect: ask(
                    daemon,
                    dialect,
                    model,
                    "Count from one to a hundred.",
                    stream=False,
                    n_most=n_most,
                ),
                ["ollama", "openai"],
            )
        )
    after = daemon.running(model)
    assert [reply.status for reply in replies] == [200] * 2
    n_generated = sum(
        reply.json["eval_count"] if "eval_count" in reply.json
        else reply.json["usage"]["completion_tokens"]
        for reply in replies
    )  # fmt: skip
    n_steps = after["n_steps"] - before["n_steps"]
    assert n_generated == 2 * n_most
    assert n_steps < 0.8 * n_generated


@pytest.mark.parametrize("dialect", PATHS)
def test_a_client_that_leaves_frees_its_sequence_within_a_step(own_daemon, dialect):
    """Under the daemon's own settings: nothing is computed for nobody."""
    with own_daemon.stream(PATHS[dialect], question(dialect)) as answer:
        started(dialect, answer)
        assert own_daemon.running("tiny")["n_active"] == 1
    wait_for(lambda: own_daemon.running("tiny")["n_active"] == 0, "the sequence to be freed", 2)
    # Its last step tells the counters; a new answer then adds its own steps and no more.
    ask(own_daemon, "ollama", stream=False, n_most=1)
    before = own_daemon.running("tiny")
    reply = ask(own_daemon, "ollama", stream=False, n_most=50)
    after = own_daemon.running("tiny")
    assert after["n_steps"] - before["n_steps"] == 50
    assert after["n_tokens"] - before["n_tokens"] == reply.json["prompt_eval_count"] + 49


def test_a_client_that_leaves_an_answer_it_wanted_whole_frees_its_sequence(own_daemon):
    answers_well(own_daemon)
    connection = own_daemon.send("POST", "/api/chat", question("ollama", stream=False))
    wait_for(lambda: own_daemon.running("tiny")["n_active"] == 1, "the answer to begin")
    connection.close()
    wait_for(lambda: own_daemon.running("tiny")["n_active"] == 0, "the sequence to be freed", 2)


def test_a_client_that_leaves_during_the_load_leaves_nothing_behind(own_daemon):
    connection = own_daemon.send("POST", "/api/chat", question("ollama"))
    connection.close()
    answers_well(own_daemon)
    assert own_daemon.running("tiny")["n_active"] == 0


def test_those_who_leave_do_not_disturb_those_who_stay(daemon):
    with ExitStack() as stack:
        leaving = [
            stack.enter_context(daemon.stream(PATHS[dialect], question(dialect)))
            for dialect in ["ollama", "openai"] * 3
        ]
        with daemon.stream("/api/chat", question("ollama", n_most=400)) as staying:
            started("ollama", staying)
            for answer in leaving:
                answer.leave()
            assert b'"done":true' in staying.rest()[-1]
    wait_for(lambda: daemon.running("tiny")["n_active"] == 0, "all sequences to be freed", 2)
