"""The tree of errors: each has a word of its own, and travels between processes unchanged."""

import pytest
from hypothesis import given, strategies as st

from runner.errors import CorralError, ModelNotFound, PromptTooLong, from_code


def tree(cls: type[CorralError] = CorralError) -> list[type[CorralError]]:
    return [cls, *(found for child in cls.__subclasses__() for found in tree(child))]


@pytest.mark.parametrize("cls", tree(), ids=lambda cls: cls.__name__)
def test_an_error_is_made_again_from_its_code(cls):
    error = from_code(cls.code, "what happened", "what to do")
    assert type(error) is cls
    assert (error.code, error.message, error.hint) == (cls.code, "what happened", "what to do")
    assert str(error) == "what happened"
    with pytest.raises(cls, match="what happened"):
        raise error


def test_no_two_errors_share_a_code():
    codes = [cls.code for cls in tree()]
    assert sorted(codes) == sorted(set(codes))


def test_every_error_says_in_its_docstring_when_it_is_raised():
    assert all(cls.__doc__ for cls in tree())


@given(st.text(), st.text())
def test_an_unknown_code_is_still_an_error_of_ours(code, message):
    error = from_code(code + "?", message)
    assert type(error) is CorralError
    assert error.message == message


def test_errors_of_requests_carry_the_numbers_and_the_next_step():
    too_long = PromptTooLong(5000, 4096)
    assert "5000" in too_long.message
    assert "4096" in too_long.message
    assert "num_ctx" in too_long.hint
    assert "corral pull nothing" in ModelNotFound("nothing").hint


def test_errors_made_from_a_code_name_no_field():
    assert from_code("invalid_request", "x").param is None


def test_a_prompt_that_just_fits_is_too_long_for_want_of_room_for_an_answer():
    assert PromptTooLong(4096, 4096).message.endswith("4096, which leaves none for an answer")
    assert PromptTooLong(4097, 4096).message.endswith("holds 4096")
