"""What an answer looks like to Anthropic's clients."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, strategies as st

from runner.dialects.anthropic.answers import Encoder, Whole
from runner.dialects.anthropic.errors import error_body
from runner.dialects.anthropic.messages import parse
from runner.domain.event import (
    Begun,
    Finished,
    FinishReason,
    TextDelta,
    ThinkingDelta,
    Timings,
    ToolCallDelta,
    Usage,
)
from runner.errors import PromptTooLong, WorkerError

CALL = parse(
    json.dumps(
        {
            "model": "m",
            "max_tokens": 5,
            "stop_sequences": ["END"],
            "messages": [{"role": "user", "content": "Hi"}],
        }
    ).encode()
)


def finished(reason=FinishReason.STOP, stop=None):
    return Finished(reason, Usage(10, 4, 3), Timings(), stop=stop)


def frames(events):
    """The stream as ``(event, data)`` pairs."""
    encoder = Encoder(CALL, answer_id="msg_1")
    raw = b"".join(encoder.encode(event) for event in events).decode()
    found = []
    for frame in raw.split("\n\n")[:-1]:
        head, data = frame.split("\n")
        found.append((head.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
        assert found[-1][1]["type"] == found[-1][0]
    return found


def rebuilt(found):
    """The message that a client puts together from a stream."""
    message = None
    for kind, data in found:
        match kind:
            case "message_start":
                assert message is None
                message = data["message"]
            case "content_block_start":
                assert data["index"] == len(message["content"])
                message["content"].append(data["content_block"] | {"open": True})
            case "content_block_delta":
                block, delta = message["content"][data["index"]], data["delta"]
                assert block["open"]
                if delta["type"] == "input_json_delta":
                    block["json"] = block.get("json", "") + delta["partial_json"]
                elif delta["type"] == "signature_delta":
                    block["signature"] = delta["signature"]
                else:
                    block[block["type"]] += delta[block["type"]]
            case "content_block_stop":
                block = message["content"][data["index"]]
                assert block.pop("open")
                if text := block.pop("json", ""):
                    block["input"] = json.loads(text)
            case "message_delta":
                message |= data["delta"] | {"usage": data["usage"]}
    assert not any("open" in block for block in message["content"])
    return message


def whole(events):
    answer = Whole(CALL, "msg_1")
    for event in events:
        answer.add(event)
    return json.loads(answer.encode(events[-1]))


EVENTS = [
    Begun(10, 4),
    ThinkingDelta("Let me "),
    ThinkingDelta("see."),
    TextDelta("I "),
    TextDelta("ask."),
    ToolCallDelta(0, "sum", "", "call_1"),
    ToolCallDelta(0, arguments='{"a":'),
    ToolCallDelta(0, arguments="1}"),
    ToolCallDelta(1, "now", "{}", "call_2"),
    finished(FinishReason.TOOL_CALLS),
]


def test_a_stream_has_its_frames_in_order():
    kinds = [kind for kind, _ in frames(EVENTS)]
    assert kinds == [
        "message_start",
        "ping",
        *("content_block_start", *["content_block_delta"] * 3, "content_block_stop"),
        *("content_block_start", *["content_block_delta"] * 2, "content_block_stop"),
        *("content_block_start", *["content_block_delta"] * 2, "content_block_stop"),
        *("content_block_start", "content_block_delta", "content_block_stop"),
        "message_delta",
        "message_stop",
    ]


def test_a_stream_begins_with_the_real_count_of_its_prompt():
    start = frames(EVENTS)[0][1]["message"]
    assert start["content"] == []
    assert start["usage"]["input_tokens"] == 6
    assert start["usage"]["cache_read_input_tokens"] == 4


piece = st.one_of(
    st.builds(TextDelta, st.text(min_size=1)),
    st.builds(ThinkingDelta, st.text(min_size=1)),
    st.builds(ToolCallDelta, st.just(0), st.just("sum"), st.just('{"a":[1,"x"]}'), st.just("c")),
)


@given(st.lists(piece), st.booleans())
def test_a_stream_says_what_the_whole_answer_says(pieces, begins):
    events = [*([Begun(10, 4)] if begins else []), *pieces, finished()]
    assert rebuilt(frames(events)) == whole(events)


@pytest.mark.parametrize(
    ("end", "reason", "sequence"),
    [
        (finished(), "end_turn", None),
        (finished(stop="END"), "stop_sequence", "END"),
        (finished(stop="<|im_end|>"), "end_turn", None),
        (finished(FinishReason.LENGTH), "max_tokens", None),
        (finished(FinishReason.TOOL_CALLS), "tool_use", None),
    ],
)
def test_the_end_is_told_truthfully(end, reason, sequence):
    for told in (whole([TextDelta("a"), end]), rebuilt(frames([TextDelta("a"), end]))):
        assert (told["stop_reason"], told["stop_sequence"]) == (reason, sequence)


def test_an_answer_that_was_cut_off_is_an_error():
    with pytest.raises(WorkerError):
        whole([finished(FinishReason.ABORTED)])


def test_a_failure_on_the_way_is_an_error_event():
    encoder = Encoder(CALL, answer_id="msg_1")
    head, data = encoder.error(WorkerError("it died")).decode().strip().split("\n")
    assert head == "event: error"
    assert json.loads(data.removeprefix("data: "))["error"] == {
        "type": "api_error",
        "message": "it died",
        "code": "worker_failed",
    }


def test_a_prompt_that_does_not_fit_is_told_as_claude_code_reads_it():
    body = error_body(PromptTooLong(77025, 65536), 400)
    assert body.error.message == "prompt is too long: 77025 tokens > 65536 maximum"
    assert body.error.type == "invalid_request_error"
    assert "num_ctx" in body.error.hint


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        ('{"city": "a\\ud83d"}', {"city": "a?"}),
        ('{"city": "\\ud83d\\ude00"}', {"city": "\U0001f600"}),
        ('{"n": NaN, "m": 1}', {"n": None, "m": 1}),
        ('{"n": 123456789012345678901234567890}', {"n": 123456789012345678901234567890}),
        ('{"a": "cut', {}),
        ("[1]", {}),
        ("", {}),
        ('{"a":' * 400 + "1" + "}" * 400, None),
    ],
)
def test_the_arguments_of_a_whole_answer_are_what_a_stream_tells(arguments, meant):
    """What one client can read, another one gets too, as far as JSON has it."""
    whole = Whole(CALL, "msg_1")
    for event in (ToolCallDelta(0, name="f", id="c"), ToolCallDelta(0, arguments=arguments)):
        whole.add(event)
    (block,) = json.loads(whole.encode(finished(FinishReason.TOOL_CALLS)))["content"]
    assert block["input"] == (json.loads(arguments) if meant is None else meant)
