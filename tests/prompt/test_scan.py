"""The template scanner: tricks are found, honest templates pass, and nothing is ever run."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from runner.prompt.scan import Severity, scan
from tests.prompt.test_template import CHATML, CLEVER, FOLDED, HEADERS, TRAINING

#: A family and a heart: joiners and a selector of colours, as phones write them.
EMOJI = "\U0001f468\u200d\U0001f469\u200d\U0001f467 \u2764\ufe0f <__media__>"
#: Names of this kind as part of words, and of JSON.
WORDS = """{{ 'how __init__ works in Python' }}{{ '{"name": "__tool__"}' }}"""


@pytest.mark.parametrize(
    "source", [CHATML, FOLDED, CLEVER, TRAINING, "", "Hi \u0645\u06cc\u200c", EMOJI]
)
def test_an_honest_template_has_nothing_to_find(source):
    assert scan(source) == ()


@pytest.mark.parametrize(
    ("source", "code", "line"),
    [
        ("a\n{{ ''.__class__ }}", "attribute_trick", 2),
        ("{{ messages['__globals__'] }}", "attribute_trick", 1),
        ("{{ messages['__glo' ~ 'bals__'] }}", "attribute_trick", 1),
        ("{{ ''|attr('_' ~ x) }}", "attribute_trick", 1),
        ("{% include 'x' %}", "other_file", 1),
        ("{% import '/etc/passwd' as x %}", "other_file", 1),
        ("{% extends 'x' %}", "other_file", 1),
        ("ok\n\nHi\U000e0041\U000e0042", "hidden_text", 3),
        ("\u202eevil", "hidden_text", 1),
        ("a\u200bb", "hidden_text", 1),
        ("{{ 'a\\u202eb' }}", "hidden_text", 0),
        ("{{ x|map(attribute='__class__')|list }}", "attribute_trick", 1),
        ("{{ x|selectattr('a.__globals__')|list }}", "attribute_trick", 1),
        ("{{ '{0.__class__.__mro__}'.format(x) }}", "attribute_trick", 1),
        ("{{ '%s' | format('__subclasses__') }}", "attribute_trick", 1),
        ("{{ '__cla' ~ 'ss__' }}{{ x['__cla' ~ 'ss__'] }}", "attribute_trick", 1),
        ("a\n{{ x.gi_frame.f_globals }}", "attribute_trick", 2),
        ("{{ x['f_builtins'] }}", "attribute_trick", 1),
        ("{{ __import__('os') }}", "attribute_trick", 1),
        ("{{ self.__init__ }}", "attribute_trick", 1),
        ("a\U000e0100b", "hidden_text", 1),
        ("a\u3164b", "hidden_text", 1),
        ("a\u2800b", "hidden_text", 1),
        ("a\x1b[8mhidden\x1b[0m", "hidden_text", 1),
        ("a\b\b", "hidden_text", 1),
        ("ok\n\u200c\u200d\u200c\u200d", "hidden_text", 2),
        ("\U0001f600\ufe0f\ufe01\ufe02\ufe03", "hidden_text", 1),
        ("{{ '\\u200c\\u200d\\u200c\\u200d' }}", "hidden_text", 0),
        ("x" * (1 << 20) + "y", "too_large", 0),
        ("{{ " + "(" * 30000, "invalid", 0),
    ],
)
def test_what_no_honest_template_does_is_refused(source, code, line):
    findings = scan(source)
    assert Severity.REFUSE in {finding.severity for finding in findings}
    assert (code, line) in {(finding.code, finding.line) for finding in findings}


@pytest.mark.parametrize(
    ("source", "code"),
    [
        (HEADERS, "reads_clock"),
        ("{% for i in range(99999999) %}{% endfor %}", "long_loop"),
        ("{% if %}", "invalid"),
        ("{{ '{a}'.format_map(x) }}", "attribute_trick"),
    ],
)
def test_what_is_worth_a_look_is_told(source, code):
    (finding,) = scan(source)
    assert (finding.severity, finding.code) == (Severity.WARN, code)
    assert finding.message


@given(st.text())
def test_any_text_can_be_looked_at(source):
    assert all(finding.message for finding in scan(source))


def test_nothing_is_run():
    assert scan("{{ raise_exception('ran') }}{% for i in range(9999) %}{% endfor %}") == ()


def test_a_template_of_gos_language_is_scanned_as_such():
    """What hides in it is found as anywhere; what Jinja makes of it is of no account."""
    assert scan("{{ .System }}{{ range .Messages }}{{ .Content }}{{ end }}") == ()
    (finding,) = scan("{{ if .System }}")
    assert finding.severity is Severity.WARN and "Jinja" not in finding.message
    (finding,) = scan("{{ .Prompt }}" + chr(0x202E))
    assert finding.severity is Severity.REFUSE
