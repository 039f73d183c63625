"""Anthropic's official client against the server."""

from __future__ import annotations

import dataclasses

import anthropic
import pytest

from runner.domain.event import Begun, FinishReason, TextDelta, ToolCallDelta
from runner.errors import QueueFull, WorkerError
from tests.fakes.service import FINISHED, HELLO

ASKED = {"model": "smollm2", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture
def client(served):
    with anthropic.Anthropic(base_url=served.url, api_key="dummy", max_retries=0) as found:
        yield found


def test_it_gets_a_whole_message(client, served):
    message = client.messages.create(**ASKED)
    assert [block.text for block in message.content] == ["Hello"]
    assert (message.stop_reason, message.stop_sequence) == ("end_turn", None)
    usage = message.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (7, 4, 3)
    assert served.inference.requests[0].options.num_predict == 9


def test_it_streams(client, served):
    served.inference.script = (Begun(11, 4), *HELLO)
    with client.messages.stream(**ASKED) as stream:
        assert "".join(stream.text_stream) == "Hello"
        message = stream.get_final_message()
    assert message.usage.output_tokens == 3
    assert message.usage.input_tokens + message.usage.cache_read_input_tokens == 11


def test_it_gets_calls_of_tools(client, served):
    end = dataclasses.replace(FINISHED, reason=FinishReason.TOOL_CALLS)
    served.inference.script = (
        TextDelta("Wait."),
        ToolCallDelta(0, "sum", '{"a":', "call_1"),
        ToolCallDelta(0, arguments="1}"),
        end,
    )
    for message in (client.messages.create(**ASKED), final(client)):
        text, call = message.content
        assert (text.text, call.name, call.input, call.id) == ("Wait.", "sum", {"a": 1}, "call_1")
        assert message.stop_reason == "tool_use"


def final(client):
    with client.messages.stream(**ASKED) as stream:
        return stream.get_final_message()


def test_errors_are_its_own_exceptions(client, served):
    with pytest.raises(anthropic.NotFoundError) as missing:
        client.messages.create(**ASKED | {"model": "nobody"})
    assert missing.value.request_id.startswith("req_")
    with pytest.raises(anthropic.BadRequestError, match="max_tokens"):
        client.messages.create(**ASKED | {"max_tokens": 0})
    served.inference.script = (QueueFull("server busy"),)
    with pytest.raises(anthropic.APIStatusError, match="server busy") as busy:
        client.messages.create(**ASKED)
    assert (busy.value.status_code, busy.value.response.headers["Retry-After"]) == (503, "1")


def test_a_failure_on_the_way_raises(client, served):
    served.inference.script = (TextDelta("Hel"), WorkerError("it died"))
    with pytest.raises(anthropic.APIError, match="it died"):
        final(client)


def test_it_lists_models(client):
    (model,) = client.models.list().data
    assert (model.id, model.display_name, model.type) == ("smollm2:latest",) * 2 + ("model",)
    assert client.models.retrieve("smollm2").id == "smollm2:latest"
