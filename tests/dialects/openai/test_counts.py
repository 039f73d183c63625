"""Tokens and times of an answer, as OpenAI and llama-server tell them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, strategies as st

from runner.dialects.openai import chat, completions
from runner.dialects.openai.counts import Speedometer, timings
from runner.domain.event import (
    Begun,
    Finished,
    FinishReason,
    Reached,
    TextDelta,
    Timings,
    Usage,
)

TOLD = {"answer_id": "a", "created": 7}
ASKED = {"model": "x", "stream": True, "timings_per_token": True, "return_progress": True}
EVENTS = [
    Begun(10, 2),
    Reached(6, 0, 0.5, 0.0),
    Reached(10, 1, 1.0, 0.0),
    TextDelta("Hi"),
    Reached(10, 3, 1.0, 0.5),
    TextDelta(" you"),
    Finished(FinishReason.STOP, Usage(10, 2, 4), Timings(prompt_s=1.0, decode_s=0.5)),
]


def encoder_of(kind, body):
    if kind == "chat":
        call = chat.parse(json.dumps(body | {"messages": [{"role": "user", "content": "Q"}]}))
        return call.request, chat.ChunkEncoder(call, **TOLD)
    call = completions.parse(json.dumps(body | {"prompt": "Q"}))
    return call.requests[0], completions.ChunkEncoder(call, (), **TOLD)


def chunks_of(kind, body, events=EVENTS):
    encoder = encoder_of(kind, body)[1]
    frames = b"".join(map(encoder.encode, events)).decode().split("\n\n")
    assert frames[-2:] == ["data: [DONE]", ""]
    return [json.loads(frame.removeprefix("data: ")) for frame in frames[:-2]]


@pytest.mark.parametrize("kind", ["chat", "text"])
def test_a_stream_tells_how_far_its_prompt_is_and_how_fast_it_comes(kind):
    assert encoder_of(kind, ASKED)[0].tells_progress
    chunks = chunks_of(kind, ASKED)
    told = [chunk["prompt_progress"] for chunk in chunks if "prompt_progress" in chunk]
    assert told == [
        {"total": 10, "cache": 2, "processed": 2, "time_ms": 0.0},
        {"total": 10, "cache": 2, "processed": 6, "time_ms": 500.0},
        {"total": 10, "cache": 2, "processed": 10, "time_ms": 1000.0},
    ]
    told = [chunk for chunk in chunks if "role" not in chunk["choices"][0].get("delta", ())]
    said = [chunk["timings"]["predicted_n"] for chunk in told if "prompt_progress" not in chunk]
    assert said == [1, 3, 4]
    assert chunks[-1]["timings"] == {
        "cache_n": 2, "prompt_n": 8, "prompt_ms": 1000.0, "prompt_per_token_ms": 125.0,
        "prompt_per_second": 8.0, "predicted_n": 4, "predicted_ms": 500.0,
        "predicted_per_token_ms": 125.0, "predicted_per_second": 8.0,
    }  # fmt: skip
    assert all(len(chunk["choices"]) == 1 for chunk in chunks)


@pytest.mark.parametrize("kind", ["chat", "text"])
def test_neither_is_told_unless_it_is_asked_for(kind):
    body = {"model": "x", "stream": True}
    assert not encoder_of(kind, body)[0].tells_progress
    chunks = chunks_of(kind, body)
    assert not any({"timings", "prompt_progress"} & chunk.keys() for chunk in chunks)
    assert len(chunks) == (4 if kind == "chat" else 3), "the role has a chunk of its own"
    only = chunks_of(kind, body | {"return_progress": True})
    assert sum("prompt_progress" in chunk for chunk in only) == 3
    assert not any("timings" in chunk for chunk in only)


def test_the_role_comes_first_whatever_is_told_then():
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks_of("chat", ASKED)]
    assert ["role" in delta for delta in deltas] == [True] + [False] * (len(deltas) - 1)
    assert deltas[0]["content"] is None
    assert "".join(delta.get("content") or "" for delta in deltas) == "Hi you"


def test_a_whole_answer_tells_its_timings():
    body = ASKED | {"stream": False, "messages": [{"role": "user", "content": "Q"}]}
    call = chat.parse(json.dumps(body))
    assert not call.request.tells_progress
    answer = json.loads(chat.whole(call, EVENTS, **TOLD))
    assert answer["timings"]["prompt_n"] == 8
    text = completions.parse(json.dumps(ASKED | {"stream": False, "prompt": "Q"}))
    answer = json.loads(completions.whole(text, EVENTS, (), **TOLD))
    assert answer["timings"]["predicted_n"] == 4


@given(st.integers(1, 50), st.lists(st.integers(0, 50), max_size=12))
def test_progress_only_grows_though_a_prompt_may_be_computed_again(total, reached):
    speed = Speedometer()
    told = [speed.begin(Begun(total, 0))]
    told += [speed.reach(Reached(min(n, total), 0, 0.1, 0.0)) for n in reached]
    done = [each.processed for each in told if each]
    assert done == sorted(set(done))
    assert done[-1] == min(total, max(reached, default=0))


def test_an_answer_that_took_no_time_has_no_rate():
    found = timings(Finished(FinishReason.STOP, Usage(), Timings()))
    assert (found.prompt_per_second, found.predicted_per_token_ms) == (0.0, 0.0)
