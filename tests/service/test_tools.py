"""Tools and thoughts through the service: real library and pool, a worker that says its text."""

from __future__ import annotations

import asyncio
import json

import pytest

from runner.domain.chat import Message, Tool
from runner.domain.event import FinishReason, TextDelta, ThinkingDelta, ToolCallDelta
from runner.domain.model import Capability
from runner.domain.name import ModelName
from runner.domain.request import Constraint, InferenceRequest, ToolChoice
from runner.errors import InvalidRequest, Unsupported
from runner.prompt.capabilities import abilities
from runner.prompt.toolcalls.registry import answer_format
from runner.service.toolchoice import constraint_of, refuse_beyond, refuse_gap
from tests.fakes.models import tiny_model
from tests.service.test_inference import open_place

TEMPLATE = (
    "{% if tools %}{{ tools | tojson }}<tool_call></tool_call>{% endif %}"
    "{% for m in messages %}{{ m.content }}{% endfor %}<think></think>"
)
CLOCK = Tool("clock", "The time", {"type": "object", "properties": {"zone": {"type": "string"}}})
CALL = '<tool_call>\n{"name": "clock", "arguments": {"zone": "UTC"}}\n</tool_call>'


@pytest.fixture
def clever(library, tmp_path):
    """A model whose template takes tools and thinks."""
    path = tiny_model(tmp_path / "clever.gguf", template=TEMPLATE)
    name = ModelName.parse("clever")
    list(library.import_file(path, name, provenance={"source": "file"}))
    return name


def request(name, text, **more):
    return InferenceRequest(name, messages=(Message("user", text),), **more)


def answer(library, asked):
    async def story():
        async with open_place(library, asked.model) as place:
            return await place.events(asked), place.heard("asked")

    return asyncio.run(story())


def said(events, kind):
    return "".join(event.text for event in events if isinstance(event, kind))


def test_a_call_comes_as_a_call_and_ends_the_answer_as_one(library, clever):
    events, heard = answer(library, request(clever, f"write |I look.\n{CALL}", tools=(CLOCK,)))
    assert said(events, TextDelta) == "I look."
    name, *rest = (event for event in events if isinstance(event, ToolCallDelta))
    assert name.name == "clock"
    assert json.loads("".join(event.arguments for event in rest)) == {"zone": "UTC"}
    assert len(rest) > 1, "they come as the worker sends them"
    assert events[-1].reason is FinishReason.TOOL_CALLS
    assert heard == [["asked", "tools=clock", "think=None", "keeps=4"]]


def test_thoughts_come_apart_from_the_answer(library, clever):
    events, _ = answer(library, request(clever, "write |<think>\nhm\n</think>\n\nYes", think=True))
    assert said(events, ThinkingDelta) == "hm"
    assert said(events, TextDelta) == "Yes"
    assert events[-1].reason is FinishReason.STOP


def test_thoughts_that_the_prompt_has_opened_are_thoughts_too(library, clever):
    events, _ = answer(library, request(clever, "write <think>\n|hm</think>Yes"))
    assert (said(events, ThinkingDelta), said(events, TextDelta)) == ("hm", "Yes")


def test_with_the_choice_none_the_model_hears_of_no_tools(library, clever):
    choice = ToolChoice("none")
    events, heard = answer(
        library, request(clever, f"write |{CALL}", tools=(CLOCK,), tool_choice=choice)
    )
    assert said(events, TextDelta) == CALL
    assert events[-1].reason is FinishReason.STOP
    assert heard == [["asked", "tools=", "think=None", "keeps=2"]]


def test_broken_json_in_a_call_is_text(library, clever):
    text = '<tool_call>{"name": "clock", "arguments": {]}</tool_call>'
    events, _ = answer(library, request(clever, f"write |{text}", tools=(CLOCK,)))
    assert said(events, TextDelta) == text
    assert events[-1].reason is FinishReason.STOP


def test_a_second_call_is_dropped_when_one_was_asked_for(library, clever):
    one = ToolChoice(is_parallel=False)
    events, _ = answer(
        library, request(clever, f"write |{CALL}\n{CALL}", tools=(CLOCK,), tool_choice=one)
    )
    assert {event.index for event in events if isinstance(event, ToolCallDelta)} == {0}


def test_a_raw_prompt_s_answer_is_nothing_but_text(library, clever):
    events, heard = answer(library, InferenceRequest(clever, prompt="write |<think>hm</think>"))
    assert said(events, TextDelta) == "<think>hm</think>"
    assert heard == [["asked", "tools=", "think=None", "keeps=0"]]


def test_what_a_model_can_do_is_seen_in_its_template(library, clever, name):
    assert {"tools", "thinking"} <= set(library.info(clever).capabilities)
    assert not {"tools", "thinking"} & set(library.info(name).capabilities)


def test_a_model_without_a_place_for_tools_refuses_them(library, name):
    with pytest.raises(Unsupported, match="library/tiny:latest does not support tools") as caught:
        answer(library, request(name, "say 1", tools=(CLOCK,)))
    assert caught.value.param == "tools"
    with pytest.raises(Unsupported, match="does not support thinking"):
        answer(library, request(name, "say 1", think=True))
    assert answer(library, request(name, "say 1", think=False))[0]
    assert answer(library, request(name, "say 1", think=True, thinks_if_able=True))[0]


@pytest.mark.parametrize(
    ("choice", "tools"),
    [
        (ToolChoice("required"), ()),
        (ToolChoice("named", "clock"), ()),
        (ToolChoice("named", "nobody"), (CLOCK,)),
    ],
)
def test_a_choice_of_what_is_not_there_is_refused(choice, tools):
    asked = request(ModelName.parse("x"), "Hi", tools=tools, tool_choice=choice)
    with pytest.raises(InvalidRequest) as caught:
        refuse_beyond(asked, TEMPLATE)
    assert caught.value.param == "tool_choice"


def test_a_forced_call_is_a_constraint_that_waits_for_the_thoughts():
    form = answer_format(TEMPLATE)
    name = ModelName.parse("x")
    asked = request(name, "Hi", tools=(CLOCK,), tool_choice=ToolChoice("required"))
    constraint = constraint_of(asked, form)
    assert constraint is not None
    assert (constraint.kind, constraint.after) == ("lark", "</think>")
    assert '"clock"' in constraint.text
    json_only = request(name, "Hi", constraint=Constraint("json"))
    assert constraint_of(json_only, form) == Constraint("json", after="</think>")
    assert constraint_of(json_only, answer_format("")) == Constraint("json")
    assert constraint_of(request(name, "Hi"), form) is None


def test_a_suffix_needs_a_template_or_tokens_for_it():
    asked = InferenceRequest(ModelName.parse("x"), prompt="a", suffix="b")
    refuse_gap(asked, "{{ .Prompt }}{{ .Suffix }}", can_infill=False)
    refuse_gap(asked, "", can_infill=True)
    with pytest.raises(Unsupported, match="does not support insert") as caught:
        refuse_gap(asked, "{{ .Prompt }}", can_infill=False)
    assert caught.value.param == "suffix"
    assert Capability.INSERT in abilities("{{ .Prompt }}{{ .Suffix }}").capabilities()
