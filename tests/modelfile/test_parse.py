"""Modelfiles: what is written comes out, and what is wrong is named with its line."""

import pytest
from hypothesis import given, strategies as st

from runner.errors import InvalidRequest
from runner.modelfile.parse import decode, parse

PLAIN = st.text(
    st.characters(exclude_categories=("C", "Z"), exclude_characters='"#'), min_size=1, max_size=12
)


def said(text):
    return [(one.command, one.key, one.value) for one in parse(text)]


def test_every_form_of_a_value():
    text = (
        "# a comment\n\nfrom hf.co/a/b:Q4_K_M  \r\n"
        'Parameter stop "<|im end|>"\nPARAMETER temperature 0.5\n'
        'SYSTEM """Be brief.\n  "Be" kind.\n"""\nMESSAGE User hello there\nLICENSE MIT\n'
        "MIRROR modelscope.cn/a/b"
    )
    assert said(text) == [
        ("from", "", "hf.co/a/b:Q4_K_M"),
        ("parameter", "stop", "<|im end|>"),
        ("parameter", "temperature", "0.5"),
        ("system", "", 'Be brief.\n  "Be" kind.\n'),
        ("message", "user", "hello there"),
        ("license", "", "MIT"),
        ("mirror", "", "modelscope.cn/a/b"),
    ]


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ('"say "hi" to "me"', 'say "hi" to "me'),
        ('"""a """ b """', 'a """ b '),
        ('"a\nb"  ', "a\nb"),
        ('""""', '"'),
        ('"""', '"""'),
        ("<<END\na\n\nEND", "a\n"),
        ("<<END", "<<END"),
        ("# no comment", "# no comment"),
        ("'single'", "'single'"),
    ],
)
def test_quotes_close_at_the_end_of_a_line_alone(value, meant):
    text = f"FROM a\nSYSTEM {value}\nLICENSE MIT"
    if value in ('"""', '""""'):
        text = f'FROM a\nSYSTEM """{meant}"""\nLICENSE MIT'
    assert said(text)[1:] == [("system", "", meant), ("license", "", "MIT")]


def test_a_carriage_return_is_kept_in_a_file_that_does_not_end_its_lines_so():
    assert said('FROM a\nSYSTEM """x\r\ny"""\n')[1] == ("system", "", "x\r\ny")
    assert said('FROM a\r\nSYSTEM """x\r\ny"""\r\n')[1] == ("system", "", "x\ny")
    assert said("FROM a\rSYSTEM x\r")[1] == ("system", "", "x")


def test_each_instruction_knows_its_line():
    text = 'FROM a\nSYSTEM """x\ny"""\n\nLICENSE MIT'
    assert [one.line for one in parse(text)] == [1, 2, 5]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no FROM line"),
        ("SYSTEM hello", "no FROM line"),
        ("FROM a\nBAKE it", r"\(line 2\): command must be one of"),
        ("FROM a\nMESSAGE robot hi", r"\(line 2\): message role must be one of"),
        ('FROM a\nSYSTEM """never ends', r"\(line 2\): unexpected EOF"),
        ('FROM a\nSYSTEM "x" y', r"\(line 2\): unexpected EOF"),
        ("FROM", r"\(line 1\): FROM has no value"),
        ("FROM a\nPARAMETER temperature", r"\(line 2\): PARAMETER temperature has no value"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text, reason):
    with pytest.raises(InvalidRequest, match=reason):
        parse(text)


@pytest.mark.parametrize(("said", "hint"), [("FRUM a", "did you mean FROM?"), ("123 a", "")])
def test_a_word_that_is_nearly_an_instruction_is_guessed(said, hint):
    with pytest.raises(InvalidRequest) as caught:
        parse(said)
    assert caught.value.hint == hint


@given(st.lists(st.tuples(st.sampled_from(["system", "license", "template"]), PLAIN), max_size=6))
def test_instructions_come_out_in_their_order(wanted):
    lines = "".join(f'{command.upper()} """{value}"""\n' for command, value in wanted)
    expected = [("from", "", "x"), *((command, "", value) for command, value in wanted)]
    assert said("FROM x\n" + lines) == expected


@given(st.text(st.sampled_from('FROMSYTE# "\n\rx\0é')))
def test_any_text_is_a_modelfile_or_refused(text):
    try:
        found = parse(text)
    except InvalidRequest as error:
        assert error.message
    else:
        assert any(one.command == "from" for one in found)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_the_usual_encodings_are_read(encoding):
    assert said(decode("FROM é".encode(encoding))) == [("from", "", "é")]


def test_what_is_no_text_is_refused():
    with pytest.raises(InvalidRequest, match="no text at byte 5"):
        decode(b"FROM \xff")


@pytest.mark.parametrize("command", ["SYSTEM", "TEMPLATE", "LICENSE", "MESSAGE user"])
def test_a_line_that_stops_before_its_value_is_refused_and_an_empty_value_is_not(command):
    for cut in (f"FROM x\n{command}", f"FROM x\n{command}\nFROM y"):
        with pytest.raises(InvalidRequest, match=rf"\(line 2\): {command} has no value"):
            parse(cut)
    for empty in (f'FROM x\n{command} ""', f'FROM x\n{command} """"""', f"FROM x\n{command} \n"):
        assert parse(empty)[1].value == ""
