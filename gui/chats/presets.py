"""Ways to answer that have a name: a system prompt and options, to put on a chat at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Preset:
    """One of them.

    Attributes:
        name: What it is called; unique.
        system: The system prompt.
        options: Options by Ollama's names.
        is_ours: Whether it comes with the app; its texts are English then, shown through ``tr``.
    """

    name: str
    system: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    is_ours: bool = False


OURS = (
    Preset("Plain", is_ours=True),
    Preset("Precise", options={"temperature": 0.2, "top_p": 0.8}, is_ours=True),
    Preset("Inventive", options={"temperature": 1.1, "top_p": 0.95, "min_p": 0.05}, is_ours=True),
    Preset(
        "Brief",
        "Answer in as few words as you can. No introduction, no summary.",
        is_ours=True,
    ),
    Preset(
        "Programmer",
        "You are a careful programmer. Give complete code in blocks with their language named,"
        " then say in a few sentences how it works.",
        {"temperature": 0.2},
        is_ours=True,
    ),
    Preset(
        "Translator",
        "Translate what the user writes: Chinese into English, any other language into Chinese."
        " Give the translation alone.",
        {"temperature": 0.3},
        is_ours=True,
    ),
)


def matching(presets: tuple[Preset, ...], system: str, options: Mapping[str, Any]) -> str:
    """Return the name of the preset that a chat's settings are; empty when they are their own."""
    for preset in presets:
        if preset.system.strip() == system.strip() and dict(preset.options) == dict(options):
            return preset.name
    return ""
