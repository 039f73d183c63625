"""Stop strings, found across token borders.  Pure: text in, text out."""

from __future__ import annotations

from collections.abc import Iterable


class StopMatcher:
    """Passes text through until one of its stop strings appears.

    Text that may be the beginning of a stop string is held back; nothing of the stop string
    itself ever gets out.  Of several, the one that is complete first wins, as if the text came
    one character at a time; of those complete at the same character, the longest.

    Attributes:
        hit: The stop string found; ``None`` until then.
    """

    __slots__ = ("_held", "_stops", "hit")

    def __init__(self, stops: Iterable[str] = ()) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""
        self.hit: str | None = None

    def feed(self, text: str) -> str:
        """Return the part of all text so far that is certain to be output, and not returned yet."""
        if not self._stops or not text:
            return text
        text = self._held + text
        found = [(at + len(stop), at, stop) for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            _, at, self.hit = min(found)
            self._held = ""
            return text[:at]
        n_held = max(_overlap(text, stop) for stop in self._stops)
        cut = len(text) - n_held
        self._held = text[cut:]
        return text[:cut]

    def flush(self) -> str:
        """Return what was held back; called when the sequence ends without a stop string."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of ``text`` that is a proper beginning of ``stop``."""
    for n in range(min(len(stop) - 1, len(text)), 0, -1):
        if text.endswith(stop[:n]):
            return n
    return 0
