"""Every text on the screen, in both languages."""

from __future__ import annotations

import ast
import string
from pathlib import Path

import pytest

from gui import (
    words_zh,
    words_zh_library,
    words_zh_making,
    words_zh_mending,
    words_zh_settings,
)
from gui.contents import pages
from gui.suggest import _LARGER, STARTER
from gui.titles import _ANY, TITLES
from gui.widgets.keys_dialog import KEYS
from gui.widgets.parameters import _FIELDS
from gui.widgets.starters import _QUESTIONS
from gui.words import CHINESE, WORDS, tr

PARTS = (words_zh, words_zh_settings, words_zh_making, words_zh_library, words_zh_mending)
GUI = Path(__file__).parents[2] / "gui"


def literals() -> set[str]:
    """Every text that the code gives to ``tr``."""
    found = set()
    for path in GUI.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "tr":
                first = node.args[0]
                if isinstance(first, ast.Constant):
                    found.add(first.value)
    return found


def tables() -> set[str]:
    """Texts that reach ``tr`` from a table."""
    found = {page.title for page in pages()} | {name for _, name in _FIELDS} | set(_QUESTIONS)
    found |= {words for _, words in KEYS} | set(TITLES.values()) | {_ANY}
    return found | {model.words for model in (STARTER, *_LARGER)}


def test_every_text_has_a_chinese_one():
    missing = (literals() | tables()) - set(CHINESE)
    assert not missing, sorted(missing)


@pytest.mark.parametrize("english", sorted(CHINESE))
def test_both_languages_fill_in_the_same_values(english):
    def holes(text):
        return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}

    assert holes(CHINESE[english]) == holes(english)


def test_the_lists_are_in_order_and_no_text_is_in_two():
    lists = [part.CHINESE for part in PARTS]
    for one in lists:
        assert list(one) == sorted(one)
    assert sum(map(len, lists)) == len(CHINESE)


def test_a_text_follows_the_language(application):
    assert tr("{n} loaded", n=2) == "2 loaded"
    WORDS.use("zh")
    try:
        assert tr("{n} loaded", n=2) == "已加载 2 个"
    finally:
        WORDS.use("en")
