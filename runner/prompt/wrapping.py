"""Markers that some families put around the whole answer: they say nothing and are taken off.

Only what opens the answer is a marker, and only what ends it is the one that closes; the same words
elsewhere are text.  Pure.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from runner.prompt.marks import overlap, spelt


@dataclass(frozen=True, slots=True)
class Wrapping:
    """What stands before and after a family's answer."""

    open: str
    close: str

    def spelt(self, controls: Collection[str]) -> Wrapping:
        """Return them as they stand in text whose ``controls`` are marked as tokens."""
        return Wrapping(spelt(self.open, controls), spelt(self.close, controls))


FAMILIES: tuple[Wrapping, ...] = (
    Wrapping("<|START_RESPONSE|>", "<|END_RESPONSE|>"),  # Command R7B
    Wrapping("<|START_TEXT|>", "<|END_TEXT|>"),  # Command A
    Wrapping("<response>", "</response>"),  # Granite 3.3, when it thinks
)


def wrapping_of(template: str) -> Wrapping | None:
    """Return what the model with this chat template puts around its answers."""
    return next((w for w in FAMILIES if w.open in template and w.close in template), None)


class Unwrapper:
    """Takes the markers off one answer; a text without the first keeps the second."""

    def __init__(self, wrapping: Wrapping) -> None:
        self._wrapping = wrapping
        self._held = ""
        self._is_inside: bool | None = None  # not known yet

    def feed(self, text: str) -> str:
        """Return the text that is certain now."""
        self._held += text
        if self._is_inside is None:
            body = self._held.lstrip()
            if not body or (body != self._wrapping.open and self._wrapping.open.startswith(body)):
                return ""
            self._is_inside = body.startswith(self._wrapping.open)
            if self._is_inside:
                self._held = body.removeprefix(self._wrapping.open)
        n_sure = len(self._held) - (self._n_closing() if self._is_inside else 0)
        sure, self._held = self._held[:n_sure], self._held[n_sure:]
        return sure

    def end(self) -> str:
        """Return what was held back."""
        held, self._held = self._held, ""
        return "" if self._is_inside and held.rstrip() == self._wrapping.close else held

    def _n_closing(self) -> int:
        """How many characters of the end may be the closing marker and white space after it."""
        close = self._wrapping.close
        body = self._held.rstrip()
        if body.endswith(close):
            return len(self._held) - len(body) + len(close)
        return overlap(self._held, close)
