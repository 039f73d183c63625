"""Workers that really find no memory: while they load, and in the middle of answers."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack

import psutil
import pytest

from tests.live.limits import Limits, group
from tests.live.talk import error_of, started
from tests.real_daemon import RealDaemon

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(sys.platform != "linux", reason="other systems limit memory otherwise"),
]

MIB = 1 << 20
#: What is taken off what a model needs: less than half of its context, more than it can do without.
LACK = 60 * MIB
HELLO = [{"role": "user", "content": "Say hello."}]
MODEL = "smollm2"


@pytest.fixture
def limits(tmp_path):
    return Limits(tmp_path / "hook")


@pytest.fixture
def limited(tmp_path, limits):
    own = {"CORRAL_NUM_PARALLEL": "4", "CORRAL_MODEL_OPTIONS": "ignore_eos=true"}
    with RealDaemon(tmp_path / "home", **own, **limits.env) as daemon:
        assert daemon.ask("POST", "/api/pull", {"model": MODEL}).status == 200
        yield daemon


def chat(daemon, **more):
    body = {"model": MODEL, "messages": HELLO, "stream": False, "options": {"num_predict": 3}}
    return daemon.ask("POST", "/api/chat", body | more)


def in_each_dialect(n_most, *, stream):
    """Path, and body of the same question."""
    body = {"model": MODEL, "messages": HELLO, "stream": stream}
    return {
        "ollama": ("/api/chat", body | {"options": {"num_predict": n_most}}),
        "openai": ("/v1/chat/completions", body | {"max_tokens": n_most}),
        "anthropic": ("/v1/messages", body | {"max_tokens": n_most}),
    }


def held_when_all_is_there(daemon):
    """What the model takes where there is no limit: address space, and memory of its own."""
    assert chat(daemon).status == 200
    told = psutil.Process(daemon.running(MODEL)["pid"]).memory_info()
    assert daemon.ask("POST", "/api/unload", {"model": MODEL}).status == 200
    return told.vms, told.rss - told.shared


def refused(daemon):
    """What all three clients hear that ask at once, while nothing can be loaded."""
    asked = in_each_dialect(3, stream=False)
    with ExitStack() as stack:
        sent = {}
        for dialect, (path, body) in asked.items():
            sent[dialect] = daemon.send("POST", path, body)
            stack.callback(sent[dialect].close)
        answers = {dialect: connection.getresponse() for dialect, connection in sent.items()}
        return {
            dialect: (answer.status, answer.headers, answer.read())
            for dialect, answer in answers.items()
        }


def test_without_address_space_it_loads_less_or_says_so_in_each_dialect(limited, limits):
    n_space, _ = held_when_all_is_there(limited)
    note = ""
    for percent in (75, 60):  # what is reserved and never used may be a quarter
        limits.address_space(n_space * percent // 100)
        reply = chat(limited)
        assert reply.status == 200, reply.body
        note = limited.running(MODEL)["note"]
        limited.ask("POST", "/api/unload", {"model": MODEL})
        if note:
            break
    assert "since memory was short" in note
    limits.address_space(n_space // 4)
    for dialect, (status, headers, body) in refused(limited).items():
        assert status == 503, (dialect, body)
        assert headers["Retry-After"] == "10"
        assert b"not_enough_memory" in body, dialect
        assert b"hint" in body, dialect
    limits.none()
    assert chat(limited).status == 200


@pytest.fixture
def small_group():
    with group() as made:
        if made is None:
            pytest.skip("a control group that limits memory needs root, and the memory controller")
        yield made


def test_what_the_kernel_kills_for_its_memory_is_loaded_with_less(small_group, limited, limits):
    _, n_own = held_when_all_is_there(limited)
    limits.group(small_group)
    small_group.allow(n_own - LACK)
    reply = chat(limited)
    assert reply.status == 200, reply.body
    note = limited.running(MODEL)["note"]
    assert "(signal 9): there was no memory left for it" in note


def begun(dialect, answer):
    """Read a stream until its first text."""
    if dialect != "anthropic":
        started(dialect, answer)
        return
    assert answer.status == 200
    while answer.line() != b"event: content_block_delta\n":
        pass


def last_error(dialect, lines):
    """The error that ends a stream, flat."""
    if dialect != "anthropic":
        return error_of(dialect, lines)
    assert b"event: error" in lines
    return json.loads(lines[-1].removeprefix(b"data: "))["error"]


def test_what_is_killed_in_the_middle_of_answers_fails_them_in_words_and_the_chat_goes_on(
    small_group, limited, limits
):
    """Another program takes what is left: the model goes before that does."""
    limits.group(small_group)
    assert chat(limited).status == 200
    before = limited.running(MODEL)
    with ExitStack() as stack:
        streams = {}
        for dialect, (path, body) in in_each_dialect(4000, stream=True).items():
            streams[dialect] = stack.enter_context(limited.stream(path, body))
            begun(dialect, streams[dialect])
        other = stack.enter_context(small_group.program_that_takes(90 * MIB))
        small_group.allow(small_group.n_used + 40 * MIB)
        other.go()
        ends = {dialect: answer.rest() for dialect, answer in streams.items()}
        reply = chat(limited)
        assert other.is_there
    assert reply.status == 200, reply.body
    after = limited.running(MODEL)
    assert after["pid"] != before["pid"]
    assert "since its process died (signal 9)" in after["note"]
    for dialect, lines in ends.items():
        error = last_error(dialect, lines)
        assert error["code"] == "worker_failed", error
        assert "(signal 9): there was no memory left for it" in error["message"]
        assert "with less" in error["hint"]


#: What a step may still take: more than Python does for itself, less than the numbers of many rows.
LEFT = 12 * MIB


def test_a_step_that_finds_no_memory_costs_no_request_and_less_is_loaded(tmp_path):
    """The process lives: llama.cpp says that it could not compute, and another takes its place.

    Eight prompts whose own tokens are to be told want a row of numbers for each token of a step.
    """
    with RealDaemon(tmp_path / "home", CORRAL_NUM_PARALLEL="8", CORRAL_SPECULATE="off") as daemon:
        assert daemon.ask("POST", "/api/pull", {"model": MODEL}).status == 200
        assert chat(daemon).status == 200
        before = daemon.running(MODEL)
        worker = psutil.Process(before["pid"])
        n_space = worker.memory_info().vms + LEFT
        worker.rlimit(psutil.RLIMIT_AS, (n_space, n_space))
        prompts = [f"{number} " + "a b c d e f g h " * 12 for number in range(8)]
        body = {"model": MODEL, "prompt": prompts, "echo": True, "logprobs": 1, "max_tokens": 1}
        reply = daemon.ask("POST", "/v1/completions", body)
        assert reply.status == 200, reply.body
        told = [choice["logprobs"]["tokens"] for choice in reply.json["choices"]]
        assert len(told) == 8
        assert all(len(tokens) > 90 for tokens in told)
        after = daemon.running(MODEL)
        assert after["pid"] != before["pid"]
        assert "since memory was short: no memory to compute this step" in after["note"]
        assert "llama_decode returned -2" in after["note"]
        assert "to be loaded with less model=smollm2" in daemon.log
