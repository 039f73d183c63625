"""What a too long conversation loses: the oldest exchanges, and no more than needed."""

from __future__ import annotations

from hypothesis import given, strategies as st

from runner.domain.chat import Message
from runner.prompt.fit import exchanges, fit

turns = st.lists(
    st.builds(
        Message,
        st.sampled_from(["system", "user", "assistant", "tool"]),
        st.text("ab ", max_size=20),
    ),
    min_size=1,
    max_size=12,
).map(tuple)


def to_tokens(messages: tuple[Message, ...]) -> list[int]:
    return [ord(char) for turn in messages for char in f"[{turn.role}]{turn.content}"]


@given(turns, st.integers(0, 200), st.integers(0, 40))
def test_as_few_of_the_oldest_exchanges_go_as_are_enough(messages, n_max, n_room):
    fitted = fit(messages, to_tokens, n_max=n_max, n_room=n_room)
    groups = exchanges(messages)
    choices = []
    for n in range(len(groups) + 1):
        gone = {index for group in groups[:n] for index in group}
        choices.append(
            (len(gone), to_tokens(tuple(m for i, m in enumerate(messages) if i not in gone)))
        )
    assert (fitted.n_dropped, fitted.tokens) in choices
    if len(choices[0][1]) <= n_max:
        assert fitted.n_dropped == 0
        return
    enough = [choice for choice in choices[1:] if len(choice[1]) <= n_max - n_room]
    assert (fitted.n_dropped, fitted.tokens) == (enough[0] if enough else choices[-1])


@given(turns)
def test_system_turns_and_the_last_question_stay(messages):
    gone = {index for group in exchanges(messages) for index in group}
    users = [index for index, turn in enumerate(messages) if turn.role == "user"]
    last = users[-1] if users else len(messages) - 1
    for index, turn in enumerate(messages):
        if turn.role == "system" or index >= last:
            assert index not in gone
        else:
            assert index in gone


def test_a_tools_result_goes_with_its_call():
    roles = ["system", "user", "assistant", "tool", "assistant", "user", "assistant", "user"]
    messages = [Message(role, role) for role in roles]
    assert exchanges(messages) == [[1, 2, 3, 4], [5, 6]]
