"""What was typed into a chat or added to it, and is not sent: it outlives a crash as turns do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gui.chats.files import TextFile
from gui.chats.pictures import Picture


@dataclass(frozen=True, slots=True)
class Unsent:
    """Beside the draft of the next question, which is a field of the chat.

    Attributes:
        edits: What is typed in place of earlier turns, by their ids.
        files: What goes with the next question.
    """

    edits: Mapping[int, str] = field(default_factory=dict)
    files: tuple[TextFile | Picture, ...] = ()
