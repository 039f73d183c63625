"""Requests share the engine's steps, and a client that leaves gives back its place."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from tests.live.talk import PATHS, answers_well, ask, question, started
from tests.real_daemon import RealDaemon, wait_for

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def daemon_that_counts(tmp_path_factory, tiny):
    """A daemon that guesses no tokens: every one that is computed is of a prompt, or drawn."""
    home = tmp_path_factory.mktemp("counts") / "home"
    with RealDaemon(home, CORRAL_SPECULATE="off") as daemon:
        daemon.ask("POST", "/api/pull", {"model": "smollm2"})
        daemon.take_in(tiny, "tiny")
        yield daemon


def n_computed(reply) -> int:
    """Tokens that an answer cost: prompt, without what was cached, and all drawn but the last."""
    usage = reply.json["usage"]
    n_cached = usage["prompt_tokens_details"]["cached_tokens"]
    return usage["prompt_tokens"] - n_cached + usage["completion_tokens"] - 1


@pytest.mark.parametrize(("model", "n_most"), [("tiny", 100), ("smollm2", 12)])
def test_chats_at_the_same_time_share_steps(daemon_that_counts, model, n_most):
    """While one chat goes on, another one's tokens cost no steps of their own."""
    daemon = daemon_that_counts
    with daemon.stream("/api/chat", question("ollama", model, n_most=8000)) as going_on:
        started("ollama", going_on)
        before = daemon.running(model)
        reply = ask(daemon, "openai", model, "Count.", stream=False, n_most=n_most)
        after = daemon.running(model)
        assert after["n_active"] == 1
    assert reply.json["usage"]["completion_tokens"] == n_most
    n_steps = after["n_steps"] - before["n_steps"]
    n_tokens = after["n_tokens"] - before["n_tokens"]
    assert n_tokens == n_steps + n_computed(reply)


@pytest.mark.parametrize("dialect", PATHS)
def test_a_client_that_leaves_frees_its_sequence_within_a_step(daemon_that_counts, dialect):
    """Nothing is computed for nobody."""
    own_daemon = daemon_that_counts
    with own_daemon.stream(PATHS[dialect], question(dialect)) as answer:
        started(dialect, answer)
        assert own_daemon.running("tiny")["n_active"] == 1
    wait_for(lambda: own_daemon.running("tiny")["n_active"] == 0, "the sequence to be freed", 10)
    # Its last step tells the counters; a new answer then adds its own steps and no more.
    ask(own_daemon, "ollama", stream=False, n_most=1)
    before = own_daemon.running("tiny")
    reply = ask(own_daemon, "openai", stream=False, n_most=50)
    after = own_daemon.running("tiny")
    assert after["n_steps"] - before["n_steps"] == 50
    assert after["n_tokens"] - before["n_tokens"] == n_computed(reply)


def test_a_client_that_leaves_an_answer_it_wanted_whole_frees_its_sequence(own_daemon):
    answers_well(own_daemon)
    connection = own_daemon.send("POST", "/api/chat", question("ollama", stream=False))
    wait_for(lambda: own_daemon.running("tiny")["n_active"] == 1, "the answer to begin")
    connection.close()
    wait_for(lambda: own_daemon.running("tiny")["n_active"] == 0, "the sequence to be freed", 10)


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
    wait_for(lambda: daemon.running("tiny")["n_active"] == 0, "all sequences to be freed", 10)
