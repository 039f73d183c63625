"""Modelfiles as text: what is printed is read back as it was."""

from hypothesis import given, strategies as st

from runner.modelfile.parse import Instruction, instructions, parse
from runner.modelfile.print import formatted, printed

TEXTS = st.one_of(
    st.text(max_size=30),
    st.text(st.sampled_from("\" \n\r\t#<ENDx'\u2028é"), max_size=30),
    st.sampled_from(['a\n"""\nb', '"""', '"', "<<END", 'x """\nEND\ny', '"\n"', '"""\n\r', "#"]),
).filter(lambda text: text.encode("utf-8", "replace").decode() == text)
WORDS = st.from_regex(r"[a-z][a-z_0-9]{0,9}", fullmatch=True)
FOUND = st.one_of(
    st.tuples(st.sampled_from(["system", "template", "license"]), st.just(""), TEXTS),
    st.tuples(st.just("message"), st.sampled_from(["user", "assistant", "system"]), TEXTS),
    st.tuples(st.just("parameter"), WORDS, TEXTS.filter(bool)),
    st.tuples(st.sampled_from(["from", "adapter", "draft"]), st.just(""), TEXTS.filter(bool)),
)


def as_said(found):
    return [(one.command, one.key, one.value) for one in found]


@given(st.lists(FOUND, max_size=6))
def test_what_is_printed_is_read_back(wanted):
    wanted = [("from", "", "x"), *wanted]
    text = printed(Instruction(command, value, key, 0) for command, key, value in wanted)
    assert as_said(parse(text)) == wanted


@given(st.lists(FOUND, max_size=6))
def test_a_usual_form_says_the_same_and_is_usual_already(wanted):
    text = printed(Instruction(command, value, key, 0) for command, key, value in wanted)
    once = formatted(text)
    assert as_said(instructions(once)) == wanted
    assert formatted(once) == once


def test_comments_stay_and_long_values_stand_apart():
    text = 'from a\n# why\nsystem """x\ny"""\nparameter stop  "<|end|>"\n'
    assert formatted(text) == ('FROM a\n\n# why\nSYSTEM """x\ny"""\n\nPARAMETER stop <|end|>\n')
