"""Simplified Chinese of the settings, keys and tokens, by the English text."""

from __future__ import annotations

CHINESE: dict[str, str] = {}
