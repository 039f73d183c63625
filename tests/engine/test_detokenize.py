"""Bytes to characters: whole ones only, wherever the tokens cut them."""

from hypothesis import given, strategies as st

from runner.engine.detokenize import Detokenizer

CUTS = st.lists(st.integers(0, 10_000), max_size=20)


def pieces(raw: bytes, cuts: list[int]) -> list[bytes]:
    at = sorted(cut % (len(raw) + 1) for cut in cuts)
    return [raw[start:end] for start, end in zip([0, *at], [*at, len(raw)], strict=True)]


def feed(raw: bytes, cuts: list[int]) -> list[str]:
    detokenizer = Detokenizer()
    return [detokenizer.feed(piece) for piece in pieces(raw, cuts)]


@given(st.text(), CUTS)
def test_any_cut_gives_the_same_text(text, cuts):
    assert "".join(feed(text.encode(), cuts)) == text


@given(st.text(min_size=1), CUTS)
def test_every_output_is_text_that_can_be_sent(text, cuts):
    for output in feed(text.encode(), cuts):
        assert output.encode().decode() == output


@given(st.binary(max_size=60), CUTS)
def test_bytes_that_are_no_text_are_shown_the_same_wherever_they_are_cut(raw, cuts):
    assert "".join(feed(raw, cuts)) == Detokenizer().feed(raw)


@given(st.text(), st.characters(min_codepoint=0x80, exclude_categories=["Cs"]), st.data())
def test_a_character_cut_off_by_the_end_is_left_out(text, last, data):
    raw = last.encode()
    n_kept = data.draw(st.integers(1, len(raw) - 1))
    assert Detokenizer().feed(text.encode() + raw[:n_kept]) == text


def test_an_emoji_comes_with_its_last_byte():
    assert [Detokenizer().feed(b"")] == [""]
    assert feed("😀".encode(), [1, 2, 3]) == ["", "", "", "😀"]


def test_a_byte_that_begins_nothing_does_not_hold_up_what_follows():
    assert feed(b"a\xffb\xe2(c", [1, 2, 3, 4, 5]) == ["a", "\ufffd", "b", "", "\ufffd(", "c"]
