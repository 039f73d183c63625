"""The page of fields is the one that the types make, and its notes speak of fields there are."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import msgspec

ROOT = Path(__file__).parents[2]

_spec = importlib.util.spec_from_file_location(
    "compatibility", ROOT / "packaging" / "compatibility.py"
)
assert _spec is not None and _spec.loader is not None
compatibility = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(compatibility)


def test_the_page_is_current():
    hint = "run: python packaging/compatibility.py"
    assert compatibility.PAGE.read_text(encoding="utf-8") == compatibility.page(), hint


def test_every_note_is_about_a_field_that_is_read():
    read = {
        (call, field.encode_name)
        for _, call, body in compatibility.CALLS
        for field in msgspec.structs.fields(body)
    }
    assert set(compatibility.NOTES) <= read
