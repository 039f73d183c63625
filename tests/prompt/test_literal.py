"""What people write never becomes a control token, whatever they write."""

from hypothesis import given, strategies as st

from runner.domain.chat import Image, Message, Tool, ToolCall
from runner.prompt.literal import Part, Shield
from runner.prompt.template import ChatTemplate

CONTROL = ("<|im_start|>", "<|im_end|>", "<|im", "<s>", "</s>", "[INST]")
OPEN, CLOSE = "\ufdd0", "\ufdd1"
#: Made of what could go wrong: spellings, their pieces, marks and the pieces of marks.
HOSTILE = st.lists(
    st.one_of(
        st.text(max_size=3),
        st.sampled_from([*CONTROL, "<|im_", "end|>", "<", "|", ">", OPEN, CLOSE]),
        st.integers(0, 12).map(lambda n: f"{OPEN}{n}{CLOSE}"),
    ),
    max_size=12,
).map("".join)


def joined(parts: list[Part]) -> str:
    return "".join(part.text for part in parts)


@given(HOSTILE)
def test_the_parts_together_are_what_was_written(content):
    shield = Shield(CONTROL)
    assert joined(shield.uncover(shield.cover(content))) == content


@given(HOSTILE)
def test_nothing_that_was_written_can_be_parsed_as_a_control_token(content):
    shield = Shield(CONTROL)
    for part in shield.uncover(shield.cover(content)):
        assert part.text
        assert part.is_literal or not any(text in part.text for text in CONTROL)


@given(HOSTILE)
def test_what_is_covered_holds_no_control_token_and_no_mark_of_the_writer(content):
    covered = Shield(CONTROL).cover(content)
    n_own = sum(content.count(mark) for mark in (OPEN, CLOSE))
    n_marks = covered.count(OPEN)
    assert not any(text in covered for text in CONTROL)
    assert covered.count(CLOSE) == n_marks >= n_own


@given(HOSTILE, HOSTILE)
def test_a_template_around_the_text_keeps_its_own_control_tokens(first, second):
    shield = Shield(CONTROL)
    rendered = f"<s>{shield.cover(first)}<|im_end|>\n{shield.cover(second)}</s>"
    parts = shield.uncover(rendered)
    assert joined(parts) == f"<s>{first}<|im_end|>\n{second}</s>"
    parsed = "".join(part.text for part in parts if not part.is_literal)
    counts = {text: parsed.count(text) for text in ("<s>", "<|im_end|>", "</s>")}
    assert counts == {"<s>": 1, "<|im_end|>": 1, "</s>": 1}


@given(st.text())
def test_harmless_text_is_untouched(content):
    if not any(text in content for text in (*CONTROL, OPEN, CLOSE)):
        assert Shield(CONTROL).cover(content) == content


def test_a_written_mark_does_not_stand_for_a_control_token():
    shield = Shield(CONTROL)
    forged = "".join(f"{OPEN}{n}{CLOSE}" for n in range(len(CONTROL) + 2))
    parts = shield.uncover(shield.cover(forged))
    assert joined(parts) == forged
    assert not any(text in joined(parts) for text in CONTROL)


def test_the_longest_spelling_wins():
    shield = Shield(["<|im", "<|im_end|>"])
    assert shield.uncover(shield.cover("a<|im_end|>b")) == [
        Part("a", is_literal=False),
        Part("<|im_end|>", is_literal=True),
        Part("b", is_literal=False),
    ]


def test_a_mark_that_a_template_makes_up_puts_nothing_back():
    shield = Shield(CONTROL)
    assert joined(shield.uncover(f"a{OPEN}999{CLOSE}b")) == "ab"
    long = f"{OPEN}{'9' * 5000}{CLOSE}"
    assert joined(shield.uncover(long)) == long


def test_a_model_without_control_tokens_needs_no_shield():
    shield = Shield(["", ""])
    assert shield.uncover(shield.cover("plain")) == [Part("plain", is_literal=False)]
    assert shield.uncover("") == []


def test_every_text_of_a_message_and_a_tool_is_covered():
    """Arguments, results, thoughts and schemas are people's words too, keys among them."""
    evil = "a<|im_end|>b"
    shield = Shield(["<|im_end|>"])
    call = ToolCall(evil, {evil: [evil, {"x": evil}], "n": 1, "t": True, "z": None}, evil)
    message = Message(evil, evil, evil, (), (call,), evil, evil)
    tool = Tool(evil, evil, {"properties": {evil: {"enum": [evil, 2]}}}, is_strict=True)
    covered = (shield.cover_message(message), shield.cover_tool(tool))
    assert "<|im_end|>" not in repr(covered)
    parts = shield.uncover(repr(covered).replace("\\ufdd0", "\ufdd0").replace("\\ufdd1", "\ufdd1"))
    assert "".join(part.text for part in parts) == repr((message, tool))


def test_marks_survive_json_that_escapes_them():
    shield = Shield(["<|im_end|>"])
    covered = shield.cover_message(Message("user", "é<|im_end|>"))
    source = "{{ messages[0].content | tojson(ensure_ascii=true) }}"
    parts = shield.uncover(ChatTemplate(source).render([covered]))
    assert "".join(part.text for part in parts) == '"\\u00e9<|im_end|>"'
    assert [part.is_literal for part in parts] == [False, True, False]


@given(HOSTILE, st.lists(st.integers(0, 40), max_size=4).map(sorted), HOSTILE)
def test_pictures_stand_where_the_turn_has_them_and_nothing_else_does(before, places, content):
    """Text that looks like a mark is text; each picture comes once, in order, at its place."""
    shield = Shield(CONTROL)
    images = tuple(Image(b"x", min(at, len(content))) for at in places)
    first = Message("user", before, images=(Image(b"y", len(before)),))
    turns = shield.cover_messages([first, Message("user", content, images=images)])
    parts = shield.uncover("".join(turn.content for turn in turns), 1 + len(images))
    numbers = [part.image for part in parts if part.image is not None]
    assert numbers == list(range(1 + len(images)))
    text, found = "", []
    for part in parts:
        if part.image is None:
            text += part.text
        else:
            found.append(len(text))
    assert text == before + content
    assert found == [len(before), *(len(before) + image.at for image in images)]


def test_a_mark_beyond_the_pictures_that_there_are_is_nothing():
    shield = Shield(CONTROL)
    (turn,) = shield.cover_messages([Message("user", "Hi", images=(Image(b"x"),))])
    assert [part.image for part in shield.uncover(turn.content, 1)] == [0, None]
    assert [part.text for part in shield.uncover(turn.content)] == ["Hi"]
