"""What histories leave out is filled in, always the same way."""

from __future__ import annotations

from hypothesis import given, strategies as st

from runner.domain.chat import Message, Tool, ToolCall
from runner.prompt.template import ChatTemplate
from runner.prompt.turns import linked, system_in_user_turn, tool_object, with_short_ids


def calls(*names, ids=()):
    made = [ToolCall(n, {}, i) for n, i in zip(names, ids or [""] * len(names), strict=True)]
    return Message("assistant", "", tool_calls=tuple(made))


def test_results_without_ids_belong_to_the_calls_in_order():
    turns = linked(
        [
            calls("a", "b"),
            Message("tool", "1"),
            Message("tool", "2"),
            calls("a"),
            Message("tool", "3"),
        ]
    )
    assert [turn.tool_name for turn in turns] == ["", "a", "b", "", "a"]
    assert [turn.tool_call_id for turn in turns if turn.role == "tool"] == [
        call.id for turn in turns for call in turn.tool_calls
    ]


def test_a_result_that_names_its_tool_or_call_is_that_one_s():
    first, by_name, by_id = linked(
        [
            calls("a", "b", ids=("x", "y")),
            Message("tool", "", tool_name="b"),
            Message("tool", "", tool_call_id="x"),
        ]
    )
    assert (by_name.tool_call_id, by_id.tool_name) == ("y", "a")
    assert first.tool_calls[0].id == "x"


def test_a_result_without_a_call_stays_as_it_is():
    assert linked([Message("tool", "x")]) == [Message("tool", "x")]


@given(st.text(min_size=1))
def test_short_ids_have_nine_letters_and_stay_linked(identity):
    (call, result) = with_short_ids(
        [calls("a", ids=(identity,)), Message("tool", "", tool_call_id=identity)]
    )
    assert call.tool_calls[0].id == result.tool_call_id
    assert len(result.tool_call_id) == 9
    assert with_short_ids([call, result]) == [call, result]


def test_a_template_that_wants_short_ids_gets_them():
    source = (
        "{% for m in messages %}{% for c in m.tool_calls %}{{ c.id }}"
        "{% if c.id|length != 9 %}!{% endif %}{% endfor %}{% endfor %}"
    )
    assert len(ChatTemplate(source).render([calls("a", ids=("call_0123456789",))])) == 9


def test_a_template_that_refuses_a_system_role_hears_it_from_the_user():
    source = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}"
        "{% endif %}{{ messages[0].content }}"
    )
    turns = [Message("system", "Be brief."), Message("user", "Hi")]
    assert ChatTemplate(source).render(turns) == "Be brief.\n\nHi"
    assert system_in_user_turn([Message("system", "x")]) is None
    assert system_in_user_turn(turns[::-1]) is None


def test_a_template_that_walks_through_tools_may_find_none():
    source = "{% for tool in tools %}{{ tool.function.name }}{% endfor %}."
    assert ChatTemplate(source).render([Message("user", "Hi")]) == "."
    assert ChatTemplate(source).render([Message("user", "Hi")], tools=(Tool("f"),)) == "f."


def test_a_template_that_asks_for_documents_hears_that_there_are_none():
    source = "{{ documents is none }}{% for d in documents or [] %}{{ d.title }}{% endfor %}"
    assert ChatTemplate(source).render([Message("user", "Hi")]) == "True"


def test_a_tool_without_a_schema_has_an_empty_one():
    assert tool_object(Tool("f", is_strict=True)) == {
        "type": "function",
        "function": {
            "name": "f",
            "parameters": {"type": "object", "properties": {}},
            "strict": True,
        },
    }
