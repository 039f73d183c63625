"""OpenAI's completions: requests and answers."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, strategies as st

from runner.dialects.openai import completions
from runner.domain.event import (
    Begun,
    Candidate,
    Finished,
    FinishReason,
    PromptToken,
    TextDelta,
    Timings,
    TokenLogprob,
    Usage,
)
from runner.errors import InvalidRequest, RequestError, Unsupported, WorkerError

TOLD = {"answer_id": "cmpl-1", "created": 7}


def parse(**fields):
    return completions.parse(json.dumps({"model": "x", "prompt": "Once"} | fields).encode())


def finished(choice=0, reason=FinishReason.LENGTH):
    return Finished(reason, Usage(3 if choice == 0 else 0, 1, 2), Timings(), choice=choice)


def frames(raw):
    parts = raw.decode().split("\n\n")
    assert parts.pop() == ""
    return [p if p == "data: [DONE]" else json.loads(p.removeprefix("data: ")) for p in parts]


@pytest.mark.parametrize(
    ("prompt", "asked"),
    [
        ("a", [("a", ())]),
        (["a", "b"], [("a", ()), ("b", ())]),
        ([1, 2], [("", (1, 2))]),
        ([[1], [2, 3]], [("", (1,)), ("", (2, 3))]),
        (["a", [4]], [("a", ()), ("", (4,))]),
    ],
)
def test_a_prompt_is_text_or_tokens_or_several_of_either(prompt, asked):
    found = parse(prompt=prompt).requests
    assert [(one.prompt, one.context) for one in found] == asked
    assert all(one.messages is None for one in found)


@pytest.mark.parametrize(("value", "word"), [("auto", "auto"), (True, "on"), (False, "off")])
def test_guessing_is_asked_for_and_what_came_of_it_is_told(value, word):
    call = parse(prompt=["a", "b"], speculate=value, draft_num_predict=8)
    for request in call.requests:
        assert (request.options.speculate, request.options.draft_num_predict) == (word, 8)
    ends = [
        Finished(
            FinishReason.LENGTH, Usage(3, 0, 2, n_drafted=6, n_accepted=4), Timings(), choice=i
        )
        for i in range(2)
    ]
    told = json.loads(completions.whole(call, ends, ("", ""), **TOLD))
    assert told["usage"]["completion_tokens_details"] == {
        "reasoning_tokens": 0,
        "accepted_prediction_tokens": 8,
        "rejected_prediction_tokens": 4,
    }


def test_what_is_left_out_is_what_openai_documents():
    call = parse()
    assert call.requests[0].options.num_predict == 16
    assert (call.n, call.n_choices, call.stream, call.echo) == (1, 1, False, False)
    assert not call.has_logprobs


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": None}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [1, "a"]}, "prompt"),
        ({"prompt": [-1]}, "prompt"),
        ({"prompt": [["a"]]}, "prompt[0][0]"),
        ({"prompt": ["a", [2**31]]}, "prompt[1]"),
        ({"prompt": ["a"] * 65}, "prompt"),
        ({"prompt": {}}, "prompt"),
        ({"model": ""}, "model"),
        ({"n": 0}, "n"),
        ({"n": 17}, "n"),
        ({"best_of": 3}, "best_of"),
        ({"logprobs": 21}, "logprobs"),
        ({"logprobs": 2, "echo": True, "suffix": "x"}, "suffix"),
        ({"max_tokens": -5}, "max_tokens"),
        ({"temperature": -1}, "temperature"),
        ({"suffix": "x", "prompt": [1]}, "suffix"),
        ({"stop": 5}, "stop"),
    ],
)
def test_a_bad_field_is_named(fields, param):
    with pytest.raises(RequestError) as caught:
        parse(**fields)
    assert caught.value.param == param


def test_what_is_not_offered_is_another_error_than_what_is_wrong():
    with pytest.raises(Unsupported):
        parse(best_of=2)
    with pytest.raises(InvalidRequest):
        parse(n=99)


def test_the_answers_count_on_over_the_prompts():
    call = parse(prompt=["A", "B"], n=2, echo=True)
    events = [TextDelta(f" {choice}", choice) for choice in range(4)]
    events += [finished(choice) for choice in range(4)]
    told = json.loads(completions.whole(call, events, ["A", "B"], **TOLD))
    assert told["object"] == "text_completion"
    assert [choice["index"] for choice in told["choices"]] == [0, 1, 2, 3]
    assert [choice["text"] for choice in told["choices"]] == ["A 0", "A 1", "B 2", "B 3"]
    assert told["usage"]["completion_tokens"] == 8


def logprob(content, *top):
    return TokenLogprob(Candidate(1, content, -1.0), tuple(Candidate(2, t, -0.5) for t in top))


def test_log_probabilities_are_four_lists_of_one_length():
    call = parse(logprobs=1)
    events = [
        TextDelta("ab", logprobs=(logprob(b"a", b"x"), logprob(b"b", b"b"))),
        TextDelta("é", logprobs=(logprob(b"\xc3", b"y"), logprob(b"\xa9", b"z"))),
        finished(),
    ]
    told = json.loads(completions.whole(call, events, [], **TOLD))["choices"][0]["logprobs"]
    assert told["tokens"] == ["a", "b", "bytes:\\xc3", "bytes:\\xa9"]
    assert told["text_offset"][:3] == [0, 1, 2]
    assert told["top_logprobs"][0] == {"x": -0.5, "a": -1.0}
    assert len({len(entries) for entries in told.values()}) == 1


def test_a_prompt_is_told_before_its_answer_in_the_same_lists():
    call = parse(prompt="Aé", logprobs=1, echo=True)
    assert call.requests[0].tells_prompt
    prompt = (PromptToken(b"A", None), PromptToken("é".encode(), logprob("é".encode(), b"x")))
    events = [
        Begun(2, 0),
        TextDelta("", prompt=prompt),
        TextDelta("b", logprobs=(logprob(b"b", b"b"),)),
        finished(),
    ]
    (choice,) = json.loads(completions.whole(call, events, ["Aé"], **TOLD))["choices"]
    assert choice["text"] == "Aéb"
    assert choice["logprobs"] == {
        "tokens": ["A", "é", "b"],
        "token_logprobs": [None, -1.0, -1.0],
        "top_logprobs": [None, {"x": -0.5, "é": -1.0}, {"b": -1.0}],
        "text_offset": [0, 1, 2],
    }
    encoder = completions.ChunkEncoder(call, ["Aé"], **TOLD)
    *chunks, _ = frames(b"".join(encoder.encode(event) for event in events))
    told = [chunk["choices"][0] for chunk in chunks]
    assert [each["text"] for each in told] == ["Aé", "b", ""]
    assert [each["logprobs"]["tokens"] for each in told[:2]] == [["A", "é"], ["b"]]


def test_a_prompt_is_told_only_when_it_is_repeated_with_its_probabilities():
    assert not parse(echo=True).requests[0].tells_prompt
    assert not parse(logprobs=1).requests[0].tells_prompt


@given(
    texts=st.lists(st.tuples(st.integers(0, 3), st.text(min_size=1)), max_size=9),
    echo=st.booleans(),
)
def test_a_stream_says_what_the_whole_answer_says(texts, echo):
    call = parse(prompt=["A", "B"], n=2, echo=echo, stream_options={"include_usage": True})
    events = [Begun(3, 0)]
    events += [TextDelta(text, choice) for choice, text in texts]
    events += [finished(choice) for choice in range(4)]
    encoder = completions.ChunkEncoder(call, ["A", "B"], **TOLD)
    raw = b"".join(encoder.encode(event) for event in events)
    *chunks, usage, done = frames(raw)
    whole = json.loads(completions.whole(call, events, ["A", "B"], **TOLD))
    said, reasons = [""] * 4, [None] * 4
    for chunk in chunks:
        (choice,) = chunk["choices"]
        said[choice["index"]] += choice["text"]
        reasons[choice["index"]] = choice["finish_reason"]
    assert said == [choice["text"] for choice in whole["choices"]]
    assert reasons == ["length"] * 4
    assert usage["usage"] == whole["usage"]
    assert usage["choices"] == []
    assert done == "data: [DONE]"


def test_an_answer_that_was_cut_off_is_an_error():
    encoder = completions.ChunkEncoder(parse(), [], **TOLD)
    with pytest.raises(WorkerError):
        encoder.encode(finished(reason=FinishReason.ABORTED))
    told = frames(encoder.error(WorkerError("it died")))
    assert told[0]["error"]["message"] == "it died"
    assert told[-1] == "data: [DONE]"
