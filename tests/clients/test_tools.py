"""Tools through the official clients: forced, named, streamed and answered."""

from __future__ import annotations

import json

import openai
import pytest

pytestmark = pytest.mark.clients

ASK = [{"role": "user", "content": "What is the weather in Paris?"}]
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 20}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": CITY}}
CLOCK = {
    "type": "function",
    "function": {
        "name": "clock",
        "parameters": {"type": "object", "properties": {}, "additionalProperties": False},
    },
}
FORCED = {
    "model": "tools",
    "messages": ASK,
    "tools": [WEATHER, CLOCK],
    "parallel_tool_calls": False,
    "temperature": 0,
    "max_tokens": 100,
}


def is_city(arguments):
    return list(arguments) == ["city"] and isinstance(arguments["city"], str)


def test_openai_gets_the_call_it_names(standard):
    named = {"type": "function", "function": {"name": "weather"}}
    choice = standard.chat.completions.create(**FORCED, tool_choice=named).choices[0]
    (call,) = choice.message.tool_calls
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    assert call.function.name == "weather"
    assert is_city(json.loads(call.function.arguments))


def test_openai_puts_streamed_calls_together(standard):
    named = {"type": "function", "function": {"name": "weather"}}
    with standard.chat.completions.stream(**FORCED, tool_choice=named) as stream:
        choice = stream.get_final_completion().choices[0]
    assert choice.finish_reason == "tool_calls"
    assert is_city(json.loads(choice.message.tool_calls[0].function.arguments))


def test_openai_hears_that_a_model_takes_no_tools(standard):
    with pytest.raises(openai.BadRequestError, match="does not support tools"):
        standard.chat.completions.create(**FORCED | {"model": "smollm2"})


def test_openai_may_forbid_calls_and_send_results(standard):
    quiet = FORCED | {"max_tokens": 5}
    said = standard.chat.completions.create(**quiet, tool_choice="none").choices[0].message
    assert said.content
    assert said.tool_calls is None
    call = {"id": "c1", "type": "function"}
    call["function"] = {"name": "weather", "arguments": '{"city": "Paris"}'}
    turns = [
        *ASK,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
    ]
    assert standard.chat.completions.create(**quiet | {"messages": turns}).choices[0].message


def test_openai_responses_call_as_well(standard):
    tool = {"type": "function", "name": "weather", "parameters": CITY}
    asked = {
        "model": "tools",
        "input": ASK,
        "tools": [tool],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "max_output_tokens": 100,
        "temperature": 0,
    }
    (item,) = standard.responses.create(**asked).output
    assert (item.type, item.name) == ("function_call", "weather")
    assert is_city(json.loads(item.arguments))
    kinds = [event.type for event in standard.responses.create(**asked, stream=True)]
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    assert "response.function_call_arguments.done" in kinds


def test_anthropic_gets_a_tool_use_block(claude):
    asked = {
        "model": "tools",
        "max_tokens": 100,
        "messages": ASK,
        "tools": [{"name": "weather", "input_schema": CITY}],
        "tool_choice": {"type": "tool", "name": "weather", "disable_parallel_tool_use": True},
    }
    whole = claude.messages.create(**asked)
    (block,) = whole.content
    assert (whole.stop_reason, block.type, block.name) == ("tool_use", "tool_use", "weather")
    assert is_city(block.input)
    with claude.messages.stream(**asked) as stream:
        told = stream.get_final_message()
    assert told.stop_reason == "tool_use"
    assert is_city(told.content[0].input)


def test_ollama_sends_tools_and_results(native):
    turns = [
        *ASK,
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Paris"}}}],
        },
        {"role": "tool", "tool_name": "weather", "content": "sunny"},
    ]
    answer = native.chat("tools", turns, tools=[WEATHER], options={"num_predict": 5})
    assert answer.done
    assert answer.message.role == "assistant"
