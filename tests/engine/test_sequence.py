"""One sequence: how it ends, and what text it lets out."""

from hypothesis import given, strategies as st

from runner.domain.event import FinishReason
from tests.engine.sequences import new_sequence


def take_all(seq, pieces: list[bytes]) -> tuple[list[str], FinishReason | None]:
    outputs = []
    for token, piece in enumerate(pieces):
        text, reason = seq.take(token, piece, is_eog=False)
        outputs.append(text)
        if reason is not None:
            return outputs, reason
    return outputs, None


@given(st.integers(1, 20), st.integers(1, 20))
def test_it_ends_at_its_limit_and_not_before(n_prompt, n_more):
    seq = new_sequence("a", n_prompt, n_prompt + n_more)
    outputs, reason = take_all(seq, [b"x"] * (n_more + 5))
    assert outputs == ["x"] * n_more
    assert reason is FinishReason.LENGTH
    assert seq.n_generated == n_more


def test_a_token_that_ends_the_answer_adds_no_text():
    seq = new_sequence("a", 3, 100)
    assert seq.take(7, b"</s>", is_eog=True) == ("", FinishReason.STOP)
    assert seq.n_generated == 1
    assert seq.tokens[-1] == 7


def test_text_held_back_comes_out_when_the_answer_ends_otherwise():
    by_token = new_sequence("a", 1, 100, stop=("END",))
    assert by_token.take(1, b"the EN", is_eog=False) == ("the ", None)
    assert by_token.take(2, b"", is_eog=True) == ("EN", FinishReason.STOP)
    by_limit = new_sequence("b", 1, 2, stop=("END",))
    assert by_limit.take(1, b"the EN", is_eog=False) == ("the EN", FinishReason.LENGTH)


def test_a_stop_string_ends_it_and_is_not_shown():
    seq = new_sequence("a", 1, 100, stop=("END",))
    assert take_all(seq, [b"th", b"eE", b"N", b"D!"]) == (
        ["th", "e", "", ""],
        FinishReason.STOP,
    )
    assert seq.stop.hit == "END"


def test_a_stop_string_in_the_very_last_token_is_a_stop():
    seq = new_sequence("a", 1, 2, stop=("END",))
    assert seq.take(1, b"the END", is_eog=False) == ("the ", FinishReason.STOP)


@given(st.text("aé€😀", min_size=1), st.integers(1, 40))
def test_only_whole_characters_get_out_at_any_limit(text, n_tokens):
    raw = text.encode()
    seq = new_sequence("a", 1, 1 + n_tokens)
    outputs, _ = take_all(seq, [bytes([byte]) for byte in raw])
    assert "".join(outputs) == raw[:n_tokens].decode(errors="ignore")


def test_half_a_character_at_the_end_hides_no_text_before_it():
    seq = new_sequence("a", 1, 3, stop=("yz",))
    assert seq.take(1, b"xy", is_eog=False) == ("x", None)
    assert seq.take(2, "é".encode()[:1], is_eog=False) == ("y", FinishReason.LENGTH)
