"""Texts of the pages that reach ``tr`` from columns and tables of words have their Chinese."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from gui.contents import pages
from gui.models import (
    device_table,
    job_table,
    library_table,
    load_stage,
    model_facts,
    request_table,
)
from gui.views import log_view, settings_page
from gui.words import CHINESE

GUI = Path(__file__).parents[2] / "gui"


def literals(path):
    """First arguments of ``tr`` and ``Column``, also where ``partial`` hands them over."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        args = node.args[1:] if name == "partial" else node.args
        is_text = name in ("tr", "Column") or (
            name == "partial" and node.args and getattr(node.args[0], "id", "") == "tr"
        )
        if is_text and args and isinstance(args[0], ast.Constant):
            yield args[0].value


def from_tables():
    """Texts that reach ``tr`` from tables of words."""
    for table in (
        library_table.ABILITIES,
        job_table._STATES,
        job_table._PHASES,
        request_table._STATES,
        request_table._PRIORITIES,
        log_view._WORDS,
        dict(settings_page._THEMES),
        load_stage.STAGES,
        model_facts._ORIGIN,
        device_table.KINDS,
    ):
        yield from table.values()
    for page in pages():
        yield page.title
        yield getattr(page.kind(), "subtitle", "") or page.title


#: The files of the pages beside the chat, and what they are made of.
FILES = sorted(
    {
        *GUI.glob("views/*_p*.py"),
        *GUI.glob("views/library_*.py"),
        *GUI.glob("views/log_view.py"),
        *GUI.glob("models/*_table.py"),
        *GUI.glob("models/found_list.py"),
        *GUI.glob("models/quantize_plan.py"),
        *GUI.glob("views/*_dialog.py"),
        *(GUI / "widgets" / f"{name}.py" for name in ("ask", "banner", "found_card", "plot")),
        GUI / "figures.py",
    }
    - set(GUI.glob("views/chat_*.py"))
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_text_in_a_file_has_its_chinese(path):
    assert [text for text in literals(path) if text not in CHINESE] == []


def test_every_text_in_a_table_of_words_has_its_chinese():
    assert [text for text in from_tables() if text not in CHINESE] == []
