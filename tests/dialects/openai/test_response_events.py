"""The stream of ``/v1/responses``, and the object it comes to."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, strategies as st

from runner.dialects.openai.response_events import Response
from runner.dialects.openai.responses import parse
from runner.domain.event import (
    Begun,
    Candidate,
    Finished,
    FinishReason,
    TextDelta,
    ThinkingDelta,
    Timings,
    TokenLogprob,
    ToolCallDelta,
    Usage,
)
from runner.errors import WorkerError

CALL = parse(b'{"model": "m", "input": "Hi", "stream": true}')


def finished(reason=FinishReason.STOP):
    return Finished(reason, Usage(10, 4, 3), Timings())


def frames(events, error=None):
    """The data of each frame; its ``event:`` line must say its type."""
    response = Response(CALL, answer_id="resp_1", created=7)
    raw = b"".join(response.encode(event) for event in events)
    raw += response.error(error) if error else b""
    found = []
    for frame in raw.decode().split("\n\n")[:-1]:
        head, data = frame.split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert head == f"event: {found[-1]['type']}"
    return found


def test_probabilities_come_with_their_text_and_whole_at_its_end():
    one, two = (TokenLogprob(Candidate(n, b"%d" % n, -1.0), ()) for n in (1, 2))
    events = [
        Begun(1, 0), TextDelta("", logprobs=(one,)), TextDelta("1", logprobs=(one,)),
        TextDelta("", logprobs=(two,)), finished(),
    ]  # fmt: skip
    told = frames(events)
    deltas = [f for f in told if f["type"] == "response.output_text.delta"]
    assert [[p["token"] for p in f["logprobs"]] for f in deltas] == [["1"], ["2"]]
    (done,) = [f for f in told if f["type"] == "response.output_text.done"]
    assert [p["token"] for p in done["logprobs"]] == ["1", "2"]
    (item,) = told[-1]["response"]["output"]
    assert item["content"][0]["logprobs"] == done["logprobs"]


def test_tokens_of_thoughts_are_counted_in_the_usage():
    end = Finished(FinishReason.STOP, Usage(10, 4, 9, n_thought=6), Timings())
    assert frames([Begun(10, 4), end])[-1]["response"]["usage"]["output_tokens_details"] == {
        "reasoning_tokens": 6
    }


EVENTS = [
    Begun(10, 4),
    ThinkingDelta("Hm."),
    TextDelta("I "),
    TextDelta("ask."),
    ToolCallDelta(0, "sum", "", "call_1"),
    ToolCallDelta(0, arguments='{"a":1}'),
    finished(FinishReason.TOOL_CALLS),
]


def test_the_events_come_in_order():
    assert [frame["type"].removeprefix("response.") for frame in frames(EVENTS)] == [
        "created",
        "in_progress",
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]


piece = st.one_of(
    st.builds(TextDelta, st.text(min_size=1)),
    st.builds(ThinkingDelta, st.text(min_size=1)),
    st.builds(ToolCallDelta, st.just(0), st.just("sum"), st.just("{}"), st.just("c")),
)


@given(st.lists(piece), st.sampled_from([FinishReason.STOP, FinishReason.LENGTH]))
def test_a_stream_adds_up_to_its_last_object(pieces, reason):
    found = frames([*pieces, finished(reason)])
    assert [frame["sequence_number"] for frame in found] == list(range(len(found)))
    last = found[-1]["response"]
    assert last["status"] == ("completed" if reason is FinishReason.STOP else "incomplete")
    done = [frame for frame in found if frame["type"] == "response.output_item.done"]
    assert [frame["output_index"] for frame in done] == list(range(len(last["output"])))
    for frame, item in zip(done, last["output"], strict=True):
        assert frame["item"]["id"] == item["id"]
        deltas = "".join(f["delta"] for f in found if "delta" in f and f["item_id"] == item["id"])
        match item["type"]:
            case "message":
                assert item["content"][0]["text"] == deltas
            case "reasoning":
                assert item["summary"][0]["text"] == deltas
            case _:
                assert item["arguments"] == deltas


def test_an_answer_cut_by_the_limit_is_incomplete():
    last = frames([TextDelta("a"), finished(FinishReason.LENGTH)])[-1]
    assert last["type"] == "response.incomplete"
    assert last["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
    assert last["response"]["output"][0]["status"] == "incomplete"


def test_a_failure_on_the_way_is_told_in_the_last_event():
    last = frames([TextDelta("a")], WorkerError("it died"))[-1]
    assert last["type"] == "response.failed"
    assert last["response"]["error"] == {
        "code": "server_error",
        "message": "it died",
        "type": "worker_failed",
    }


def test_an_answer_that_was_cut_off_is_an_error():
    with pytest.raises(WorkerError):
        frames([finished(FinishReason.ABORTED)])


def test_a_function_of_a_namespace_is_called_by_its_own_name():
    space = {"type": "namespace", "name": "agents", "tools": [{"type": "function", "name": "stop"}]}
    call = parse(json.dumps({"model": "m", "input": "Hi", "tools": [space]}).encode())
    response = Response(call, answer_id="resp_1", created=7)
    for event in (Begun(1, 0), ToolCallDelta(0, "agents__stop", "{}", "call_1")):
        response.encode(event)
    end = finished(FinishReason.TOOL_CALLS)
    response.encode(end)
    (item,) = json.loads(response.whole(end))["output"]
    assert (item["namespace"], item["name"], item["arguments"]) == ("agents", "stop", "{}")
