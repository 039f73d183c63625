"""A last turn of the assistant's is gone on with."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from runner.domain.chat import Message, ToolCall
from runner.errors import TemplateFailed
from runner.prompt.continued import MARK, cut, is_continued, marked
from runner.prompt.literal import Shield
from runner.prompt.template import ChatTemplate
from tests.fakes.models import CHATML

HI = Message("user", "Hi")
TRIMS = "{% for m in messages %}[{{ m.role }}: {{ m.content | trim }}]{% endfor %}"
LEAVES_OUT = "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}"


def render(source, *messages):
    return ChatTemplate(source).render(messages)


@given(st.text(min_size=1))
def test_the_prompt_ends_with_what_was_said(said):
    prompt = render(CHATML, HI, Message("assistant", said))
    assert prompt == f"<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n{said}"


def test_a_template_that_trims_turns_trims_this_one_as_well():
    assert render(TRIMS, HI, Message("assistant", " so far \n")) == "[user: Hi][assistant: so far"


def test_a_turn_that_says_nothing_is_the_one_to_come():
    assert render(CHATML, HI, Message("assistant", "")) == render(CHATML, HI)


def test_a_template_that_leaves_the_turn_out_is_told_of():
    with pytest.raises(TemplateFailed, match="leaves out the last turn"):
        render(LEAVES_OUT, HI, Message("assistant", "so"))


@pytest.mark.parametrize(
    "last",
    [
        HI,
        Message("assistant", ""),
        Message("assistant", "so", tool_calls=(ToolCall("f", {}),)),
        Message("tool", "so"),
    ],
)
def test_other_turns_are_not_gone_on_with(last):
    assert not is_continued([HI, last])
    assert not is_continued([])


@given(st.text(), st.text())
def test_what_was_marked_is_cut_there(said, after):
    (turn,) = marked([Message("assistant", said)])
    assert cut(turn.content + after.replace(MARK, "")) == said


def test_people_cannot_write_the_mark():
    assert MARK not in Shield(()).cover(f"a{MARK}b")
