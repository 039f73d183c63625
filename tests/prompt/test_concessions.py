"""A fair conversation that a template fails on is told in the template's own way."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from runner.domain.chat import Message, Tool, ToolCall
from runner.errors import TemplateFailed
from runner.prompt.concessions import Failure, Told, conceded
from runner.prompt.template import ChatTemplate

USER = Message("user", "a")
TWO = Message(
    "assistant",
    "Both.",
    tool_calls=(ToolCall("f", {"x": 1}, "1"), ToolCall("g", {}, "2")),
)
FIRST = Message("tool", "one", tool_name="f", tool_call_id="1")
SECOND = Message("tool", "two", tool_name="g", tool_call_id="2")
BARE = Tool("bare", "", {"type": "object", "properties": {}})

ALTERNATING = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Roles must alternate user/assistant') }}{% endif %}"
    "<{{ m.role }}>{{ m.content }}{% endfor %}"
)
SINGLE = (
    "{% for m in messages %}{% if m.tool_calls and m.tool_calls | length != 1 %}"
    "{{ raise_exception('This model only supports single tool-calls at once!') }}{% endif %}"
    "<{{ m.role }}>{{ m.content }}{% for c in m.tool_calls or [] %}[{{ c.function.name }}]"
    "{% endfor %}{% endfor %}"
)
DESCRIBED = "{% for t in tools %}{{ t.function.name + ': ' + t.function.description }}{% endfor %}"
TEXT = (
    "{% for m in messages %}{% for c in m.tool_calls or [] %}"
    "{{ '>>>' + c.function.name + c.function.arguments }}{% endfor %}{% endfor %}"
)
OLDER = "{{ 'Functions: ' + functions }}{% if datetime %} today{% endif %}"


def render(source, *messages, tools=()):
    return ChatTemplate(source).render(messages, tools=tools)


def test_neighbours_of_one_role_are_one_turn_where_roles_must_alternate():
    turns = (USER, Message("user", "b"), Message("assistant", "c"), USER)
    assert render(ALTERNATING, *turns) == "<user>a\n\nb<assistant>c<user>a"


def test_roles_that_do_not_alternate_for_another_reason_stay_the_template_s_failure():
    with pytest.raises(TemplateFailed, match="must alternate"):
        render(ALTERNATING, Message("assistant", "c"), USER)


@pytest.mark.parametrize("results", [(FIRST, SECOND), (SECOND, FIRST)])
def test_several_calls_are_told_one_by_one_each_with_its_result(results):
    told = render(SINGLE, USER, TWO, *results, USER)
    assert told == "<user>a<assistant>Both.[f]<tool>one<assistant>[g]<tool>two<user>a"


def test_a_call_without_a_result_is_told_all_the_same():
    assert render(SINGLE, USER, TWO, SECOND) == (
        "<user>a<assistant>Both.[f]<assistant>[g]<tool>two"
    )


def test_a_tool_without_a_description_has_an_empty_one_where_the_template_wants_one():
    assert render(DESCRIBED, USER, tools=(BARE,)) == "bare: "


def test_a_description_is_left_out_where_the_template_asks():
    source = "{% for t in tools %}{{ 'description' in t.function }}{% endfor %}"
    assert render(source, USER, tools=(BARE,)) == "False"


def test_arguments_are_text_where_the_template_joins_them():
    assert render(TEXT, USER, TWO) == '>>>f{"x": 1}>>>g{}'


def test_tools_go_by_their_older_name_where_the_template_knows_no_other():
    told = render(OLDER, USER, tools=(BARE,))
    assert told.startswith("Functions: [")
    assert '"name": "bare"' in told
    assert told.endswith(" today")
    assert render(OLDER, USER) == "Functions: [] today"


def test_several_concessions_can_be_needed_at_once():
    source = DESCRIBED + ALTERNATING
    assert render(source, USER, USER, tools=(BARE,)) == "bare: <user>a\n\na"


def test_the_first_failure_that_nothing_helps_against_is_told():
    with pytest.raises(TemplateFailed, match="no way"):
        render("{{ raise_exception('no way') }}", USER, tools=(BARE,))


TURNS = st.lists(
    st.builds(
        Message,
        st.sampled_from(["system", "user", "assistant", "tool"]),
        st.text(max_size=4),
        tool_calls=st.sampled_from([(), TWO.tool_calls, TWO.tool_calls[:1]]),
        tool_call_id=st.sampled_from(["", "1", "2"]),
    ),
    max_size=6,
)
REASONS = [
    "system",
    "must alternate",
    "single tool-calls",
    "concatenate",
    "'functions' is undefined",
]


@given(turns=TURNS, reason=st.sampled_from(REASONS), is_own=st.booleans())
def test_no_concession_loses_a_word_and_all_come_to_an_end(turns, reason, is_own):
    told: Told | None = Told(turns, {"tools": None})
    for _ in range(5):
        last, told = told, conceded(Failure("{{ x }}", reason, is_own=is_own), told)
        if told is None:
            break
    assert told is None
    texts = sorted("".join(turn.content for turn in turns).replace("\n", ""))
    assert sorted("".join(turn.content for turn in last.turns).replace("\n", "")) == texts
    calls = [call for turn in turns for call in turn.tool_calls]
    assert [call for turn in last.turns for call in turn.tool_calls] == calls
