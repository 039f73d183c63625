"""Every option says what it does, and its default is the one that answers are made with."""

import pytest

from runner.domain.option_meanings import MEANINGS, default_text
from runner.domain.options import OPTION_SPECS, Options, parse_option


def test_every_option_has_a_meaning_of_one_line():
    assert list(MEANINGS) == list(OPTION_SPECS)
    for text in MEANINGS.values():
        assert 10 < len(text) <= 90 and "\n" not in text and not text.endswith(".")


@pytest.mark.parametrize("name", [name for name in OPTION_SPECS if default_text(name)])
def test_a_default_typed_is_the_default(name):
    said = {"true": True, "false": False}.get(text := default_text(name), text)
    value = said if isinstance(said, bool) else float(text)
    made = Options(**{name: parse_option(name, value)}).sampling()
    assert made == Options().sampling()


def test_what_the_machine_decides_has_no_default_here():
    assert default_text("temperature") == "0.8"
    assert default_text("num_ctx") == default_text("seed") == default_text("samplers") == ""
