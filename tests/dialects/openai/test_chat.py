"""OpenAI's chat completions: requests and answers."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from runner.dialects.openai import chat
from runner.domain.chat import Message
from runner.domain.event import (
    Candidate,
    Finished,
    FinishReason,
    TextDelta,
    Timings,
    TokenLogprob,
    Usage,
)
from runner.errors import CorralError, InvalidRequest, Unsupported, WorkerError

CHAT = {"model": "x", "messages": [{"role": "user", "content": "Hi"}]}
FINISHED = Finished(FinishReason.LENGTH, Usage(5, 2, 3), Timings())


def body(**more):
    return json.dumps(CHAT | more).encode()


def messages(*turns):
    return chat.parse(body(messages=list(turns))).request.messages


def test_nothing_is_lost_for_want_of_room_unless_the_caller_allows_it():
    plain = chat.parse(body()).request
    assert (plain.shifts, plain.truncates) == (False, False)
    allowed = chat.parse(body(shift=True, truncate=True)).request
    assert (allowed.shifts, allowed.truncates) == (True, True)
    with pytest.raises(InvalidRequest) as caught:
        chat.parse(body(shift="yes"))
    assert caught.value.param == "shift"


def test_developer_is_system_and_parts_are_one_message():
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert messages(
        {"role": "developer", "content": "S"},
        {"role": "user", "content": parts},
        {"role": "assistant", "content": None},
    ) == (Message("system", "S"), Message("user", "a\nb"), Message("assistant", ""))


def test_sampling_limits_and_extensions_are_taken():
    call = chat.parse(
        body(
            temperature=0.5, top_p=1, seed=7, stop="END", presence_penalty=1, frequency_penalty=-1,
            max_tokens=9, max_completion_tokens=5, top_k=3, min_p=0.1, typical_p=0.9,
            repeat_penalty=1.1, repeat_last_n=-1, ignore_eos=True, num_ctx=512, keep_alive=-1,
            user="u", metadata={"a": "b"}, store=True, n=1, tools=[], logprobs=False,
            deterministic=True,
            response_format={"type": "text"}, stream_options={"include_usage": True}, stream=True,
        )
    )  # fmt: skip
    assert call.request.options.set_values() == {
        "temperature": 0.5, "top_p": 1.0, "seed": 7, "stop": ("END",), "presence_penalty": 1.0,
        "frequency_penalty": -1.0, "num_predict": 5, "top_k": 3, "min_p": 0.1, "typical_p": 0.9,
        "repeat_penalty": 1.1, "repeat_last_n": -1, "ignore_eos": True, "num_ctx": 512,
    }  # fmt: skip
    assert call.request.keep_alive == math.inf
    assert call.request.terms.is_deterministic
    assert call.stream
    assert call.include_usage


def test_what_is_left_out_is_left_to_the_model():
    call = chat.parse(body())
    assert call.request.options.set_values() == {}
    assert not call.request.terms.is_deterministic
    assert not call.stream


@pytest.mark.parametrize(
    "fields",
    [
        {"response_format": {"type": "yaml"}},
        {"modalities": ["text", "audio"]},
    ],
)
def test_what_would_change_the_answer_is_refused_by_name(fields):
    with pytest.raises(Unsupported) as caught:
        chat.parse(body(**fields))
    assert caught.value.param == next(iter(fields))


@pytest.mark.parametrize(
    "turn",
    [
        {
            "role": "user",
            "content": [{"type": "image_url", "image_url": {"url": "http://x/a.png"}}],
        },
        {"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]},
    ],
)
def test_the_same_inside_a_message(turn):
    with pytest.raises(Unsupported) as caught:
        messages(turn)
    assert caught.value.param.startswith("messages[0].")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": None}, "messages"),
        ({"model": ""}, "model"),
        ({"model": 1}, "model"),
        ({"temperature": -1}, "temperature"),
        ({"top_p": 1.1}, "top_p"),
        ({"max_tokens": 2**40}, "max_tokens"),
        ({"max_completion_tokens": -9}, "max_completion_tokens"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"stop": 5.0}, "stop"),
        ({"seed": 1.5}, "seed"),
        ({"n": 0}, "n"),
        ({"n": 17}, "n"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"logit_bias": {"1": 101}}, "logit_bias"),
        ({"logit_bias": {"": 1}}, "logit_bias"),
        ({"samplers": ["top_k", "magic"]}, "samplers"),
        ({"grammar": 5}, "grammar"),
        ({"grammar": "root ::= x", "regex": "x"}, "regex"),
        ({"response_format": {"type": "json_object"}, "lark": "start: x"}, "lark"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema.schema"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": "x"}}},
            "response_format.json_schema.schema",
        ),
        ({"keep_alive": "300"}, "keep_alive"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"stream_options": 1}, "stream_options"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{}]}]}, "messages[0].content[0].type"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
            "messages[0].content[0].text",
        ),
    ],
)
def test_a_bad_field_is_named(fields, param):
    with pytest.raises(InvalidRequest) as caught:
        chat.parse(body(**fields))
    assert caught.value.param == param


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(chat.ChatBody.__struct_fields__), json_values))
def test_hostile_fields_are_read_or_refused(fields):
    try:
        call = chat.parse(body(**fields))
    except CorralError as error:
        assert error.message
    else:
        assert call.request.messages


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1)), st.booleans())
def test_a_stream_tells_the_answer_once_and_in_order(texts, include_usage):
    call = chat.parse(body(stream_options={"include_usage": include_usage}))
    encoder = chat.ChunkEncoder(call, answer_id="chatcmpl-1", created=7)
    wire = b"".join(encoder.encode(event) for event in [*map(TextDelta, texts), FINISHED]).decode()
    *frames, done, rest = wire.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    assert all(len(frame.splitlines()) == 1 for frame in frames)
    chunks = [json.loads(frame.removeprefix("data: ")) for frame in frames]
    assert {(c["id"], c["created"], c["model"], c["object"]) for c in chunks} == {
        ("chatcmpl-1", 7, "x", "chat.completion.chunk")
    }
    if include_usage:
        last = chunks.pop()
        assert last["choices"] == []
        assert last["usage"] == {
            "prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8,
            "prompt_tokens_details": {"cached_tokens": 2},
            "completion_tokens_details": {"reasoning_tokens": 0},
        }  # fmt: skip
    choices = [chunk["choices"][0] for chunk in chunks]
    opening = None if texts else ""
    assert choices[0]["delta"] == {"role": "assistant", "content": opening, "refusal": None}
    assert ["role" in choice["delta"] for choice in choices] == [True] + [False] * (
        len(choices) - 1
    )
    assert "".join(choice["delta"].get("content") or "" for choice in choices) == "".join(texts)
    assert [choice["finish_reason"] for choice in choices][-1] == "length"
    assert {choice["finish_reason"] for choice in choices[:-1]} == {None}
    assert [chunk.get("usage", "none") for chunk in chunks] == [
        None if include_usage else "none" for _ in chunks
    ]


def test_an_error_ends_the_stream_properly():
    encoder = chat.ChunkEncoder(chat.parse(body()), answer_id="a", created=1)
    frame, done, rest = encoder.error(WorkerError("died\u2028x", hint="again")).split(b"\n\n")
    assert (done, rest) == (b"data: [DONE]", b"")
    assert json.loads(frame.removeprefix(b"data: "))["error"] == {
        "message": "died\u2028x", "type": "api_error", "param": None, "code": "worker_failed",
        "hint": "again",
    }  # fmt: skip


def test_ids_are_unique():
    ids = {chat.new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(each.startswith("chatcmpl-") for each in ids)


def test_the_samplers_of_llama_cpp_are_taken():
    fields = {
        "samplers": "kpt", "dynatemp_range": 0.5, "dynatemp_exponent": 2, "top_n_sigma": 1,
        "xtc_probability": 0.5, "xtc_threshold": 0.2, "dry_multiplier": 0.8, "dry_base": 2,
        "dry_allowed_length": 3, "dry_penalty_last_n": -1, "dry_sequence_breakers": ["."],
        "mirostat": 2, "mirostat_tau": 4, "mirostat_eta": 0.2, "adaptive_target": 0.3,
        "adaptive_decay": 0.8, "logit_bias": {"15": -100, " no": False, "7": 2},
        "banned_strings": ["x"], "min_tokens": 3,
    }  # fmt: skip
    values = chat.parse(body(**fields)).request.options.set_values()
    assert values == fields | {
        "samplers": ("top_k", "top_p", "temperature"),
        "dry_sequence_breakers": (".",),
        "logit_bias": ((15, -100.0), (" no", -100.0), (7, 2.0)),
        "banned_strings": ("x",),
    }


SCHEMA = {"type": "object", "properties": {"b": {"type": "string"}, "a": {"type": "null"}}}


@pytest.mark.parametrize(
    ("fields", "kind", "field"),
    [
        ({"response_format": {"type": "json_object"}}, "json", "response_format"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}}},
            "json_schema",
            "response_format.json_schema.schema",
        ),
        (
            {"response_format": {"type": "json_object", "schema": SCHEMA}},
            "json_schema",
            "response_format.schema",
        ),
        ({"json_schema": SCHEMA}, "json_schema", "json_schema"),
        ({"grammar": "root ::= x"}, "gbnf", "grammar"),
        ({"regex": "a+"}, "regex", "regex"),
        ({"lark": "start: x"}, "lark", "lark"),
    ],
)
def test_a_form_of_the_answer_is_a_constraint(fields, kind, field):
    constraint = chat.parse(body(**fields)).request.constraint
    assert (constraint.kind, constraint.field) == (kind, field)
    if kind == "json_schema":
        assert constraint.text == json.dumps(SCHEMA), "members keep their order"


LOGPROB = TokenLogprob(
    Candidate(5, "é".encode()[:1], -0.5), (Candidate(6, b"a", -0.1), Candidate(5, b"b", -0.5))
)


def test_log_probabilities_are_told_in_a_stream_as_in_a_whole_answer():
    call = chat.parse(body(logprobs=True, top_logprobs=2))
    assert call.request.n_logprobs == 2
    events = [TextDelta("x", 0, (LOGPROB,)), TextDelta("y", 0, (LOGPROB, LOGPROB)), FINISHED]
    told = json.loads(chat.whole(call, events, answer_id="a", created=1))["choices"][0]
    top = [
        {"token": "a", "logprob": -0.1, "bytes": [97]},
        {"token": "b", "logprob": -0.5, "bytes": [98]},
    ]
    token = {"token": "�", "logprob": -0.5, "bytes": [195], "top_logprobs": top}
    assert told["logprobs"] == {"content": [token] * 3, "refusal": None}
    encoder = chat.ChunkEncoder(call, answer_id="a", created=1)
    frames = b"".join(map(encoder.encode, events)).decode().split("\n\n")[:-2]
    choices = [json.loads(frame.removeprefix("data: "))["choices"][0] for frame in frames]
    streamed = [c["logprobs"]["content"] for c in choices if c["logprobs"]]
    assert [len(content) for content in streamed] == [1, 2]
    assert [each for content in streamed for each in content] == [token] * 3


@given(st.integers(1, 16), st.data())
def test_several_answers_keep_apart_and_their_tokens_are_added_up(n, data):
    call = chat.parse(body(n=n, stream_options={"include_usage": True}))
    texts = [data.draw(st.lists(st.sampled_from("ab"), max_size=3)) for _ in range(n)]
    waiting = [
        [*(TextDelta(text, i) for text in texts[i]), replace(FINISHED, choice=i)] for i in range(n)
    ]
    events = []
    while left := [each for each in waiting if each]:
        events.append(data.draw(st.sampled_from(left)).pop(0))
    whole = json.loads(chat.whole(call, events, answer_id="a", created=1))
    assert [c["index"] for c in whole["choices"]] == list(range(n))
    assert [c["message"]["content"] for c in whole["choices"]] == ["".join(t) for t in texts]
    assert whole["usage"]["completion_tokens"] == 3 * n
    encoder = chat.ChunkEncoder(call, answer_id="a", created=1)
    frames = b"".join(map(encoder.encode, events)).decode().split("\n\n")
    assert frames.count("data: [DONE]") == 1
    *chunks, usage = [json.loads(frame.removeprefix("data: ")) for frame in frames[:-2]]
    assert usage["usage"]["completion_tokens"] == 3 * n
    for i in range(n):
        deltas = [c["choices"][0] for c in chunks if c["choices"][0]["index"] == i]
        assert ["role" in d["delta"] for d in deltas] == [True] + [False] * (len(deltas) - 1)
        assert "".join(d["delta"].get("content") or "" for d in deltas) == "".join(texts[i])
        assert [d["finish_reason"] for d in deltas if d["finish_reason"]] == ["length"]


def test_guessed_tokens_are_told_as_predictions():
    plain, guessed = Usage(5, 0, 9, n_thought=7), Usage(5, 0, 9, n_drafted=6, n_accepted=4)
    assert chat.usage_object(plain)["completion_tokens_details"] == {"reasoning_tokens": 7}
    assert chat.usage_object(guessed)["completion_tokens_details"] == {
        "reasoning_tokens": 0,
        "accepted_prediction_tokens": 4,
        "rejected_prediction_tokens": 2,
    }
    asked = chat.parse(body(speculate="on", draft_num_predict=4)).request.options
    assert (asked.speculate, asked.draft_num_predict) == ("on", 4)
