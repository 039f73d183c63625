"""Simplified Chinese of what makes and measures models, by the English text."""

from __future__ import annotations

CHINESE: dict[str, str] = {}
