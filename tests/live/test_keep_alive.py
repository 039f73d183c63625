"""How long a model stays, case by case as Ollama has it, as ``/api/ps`` shows it."""

from __future__ import annotations

import time
from datetime import datetime

import pytest

from tests.real_daemon import wait_for

pytestmark = pytest.mark.live

DEFAULT_S = 300.0
FOR_EVER_S = (2**63 - 1) / 1e9  # Go's longest duration: 292 years


@pytest.fixture
def tiny_alone(daemon):
    """The daemon, without the model in memory, before and afterwards."""

    def without():
        assert daemon.ask("POST", "/api/unload", {"model": "tiny"}).status == 200
        wait_for(lambda: not daemon.running("tiny"), "the model to go")

    without()
    yield daemon
    without()


def generate(daemon, prompt="hi", **more):
    body = {"model": "tiny", "prompt": prompt, "stream": False, "options": {"num_predict": 2}}
    return daemon.ask("POST", "/api/generate", body | more)


def left_s(daemon):
    """Seconds until the model goes, as ``expires_at`` has it; ``None``: it is not there."""
    row = daemon.running("tiny")
    if not row:
        return None
    text = row["expires_at"]
    head, _, rest = text.partition(".")
    zone = rest.lstrip("0123456789").replace("Z", "+00:00")
    return datetime.fromisoformat(head + zone).timestamp() - time.time()


STAYS = [
    (90, 90.0),
    (90.5, 90.5),
    ("5m", 300.0),
    ("1h30m", 5400.0),
    ("900s", 900.0),
    (-1, FOR_EVER_S),
    (-3.14, FOR_EVER_S),
    ("-1m", FOR_EVER_S),
    ("-1s", FOR_EVER_S),
    (1e12, FOR_EVER_S),
    (45, 45.0),
]


def test_what_a_request_says_counts_from_its_end(tiny_alone):
    """Both for a request that is answered, and for one that only loads; the last one counts."""
    assert generate(tiny_alone).status == 200
    assert DEFAULT_S - 60 < left_s(tiny_alone) <= DEFAULT_S + 1
    for said, stays_s in STAYS:
        for prompt, reason in (("hi", "length"), ("", "load")):
            reply = generate(tiny_alone, prompt, keep_alive=said)
            assert (reply.status, reply.json["done_reason"]) == (200, reason)
            assert stays_s - 30 < left_s(tiny_alone) <= stays_s + 1, said


def test_no_time_unloads_it_after_the_answer(tiny_alone):
    for said in (0, "0s", "-0m"):
        assert generate(tiny_alone, keep_alive=said).json["done_reason"] == "length"
        wait_for(lambda: left_s(tiny_alone) is None, "the model to go")
        assert generate(tiny_alone, "", keep_alive=said).json["done_reason"] == "unload"


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("300", 'time: missing unit in duration "300"'),
        ("", 'time: invalid duration ""'),
        ("soon", 'time: invalid duration "soon"'),
        (True, "Unsupported type: 'bool'"),
        ([5], "Unsupported type: 'array'"),
    ],
)
def test_what_is_no_time_is_refused(tiny_alone, said, error):
    reply = generate(tiny_alone, keep_alive=said)
    assert (reply.status, reply.json["error"]) == (400, error)
    assert left_s(tiny_alone) is None, "nothing is loaded for it"


def test_a_request_that_says_nothing_leaves_it_as_it_was_said(tiny_alone):
    assert generate(tiny_alone, "", keep_alive=-1).json["done_reason"] == "load"
    assert generate(tiny_alone).status == 200
    assert left_s(tiny_alone) > 1e9
    chat = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2}
    assert tiny_alone.ask("POST", "/v1/chat/completions", chat).status == 200
    assert left_s(tiny_alone) > 1e9, "OpenAI's clients cannot say it"
    assert generate(tiny_alone, keep_alive=100).status == 200
    assert generate(tiny_alone).status == 200
    assert 40 < left_s(tiny_alone) <= 101
    assert tiny_alone.ask("POST", "/api/embed", {"model": "tiny", "input": "hi"}).status == 200
    assert 40 < left_s(tiny_alone) <= 101


def test_what_was_said_ends_with_the_model(tiny_alone):
    generate(tiny_alone, keep_alive=-1)
    assert generate(tiny_alone, "", keep_alive=0).json["done_reason"] == "unload"
    wait_for(lambda: left_s(tiny_alone) is None, "the model to go")
    assert generate(tiny_alone, "", keep_alive=0).json["done_reason"] == "unload", (
        "as often as said"
    )
    assert left_s(tiny_alone) is None, "nothing is loaded to be unloaded"
    generate(tiny_alone)
    assert 240 < left_s(tiny_alone) <= DEFAULT_S + 1


def test_an_empty_conversation_loads_and_unloads_and_vectors_say_how_long_too(tiny_alone):
    body = {"model": "tiny", "messages": []}
    loaded = tiny_alone.ask("POST", "/api/chat", body | {"keep_alive": "2m"}).json
    assert (loaded["done_reason"], loaded["message"]["content"]) == ("load", "")
    assert 60 < left_s(tiny_alone) <= 121
    vectors = {"model": "tiny", "input": "hi", "keep_alive": "4m"}
    assert tiny_alone.ask("POST", "/api/embed", vectors).status == 200
    assert 180 < left_s(tiny_alone) <= 241
    unloaded = tiny_alone.ask("POST", "/api/chat", body | {"keep_alive": 0}).json
    assert unloaded["done_reason"] == "unload"
    wait_for(lambda: left_s(tiny_alone) is None, "the model to go")
