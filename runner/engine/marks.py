"""Where the characters of control tokens stand in an answer's text.  Pure."""

from __future__ import annotations

from collections import deque


class HeldMarks:
    """Keeps marks back as long as the text they belong to is kept back.

    Positions are characters of the answer, those of stop strings included.
    """

    def __init__(self) -> None:
        self._held: deque[int] = deque()
        self._n_in = 0
        self._n_out = 0

    def add(self, n_new: int, n_token: int) -> None:
        """Take ``n_new`` characters, the last ``n_token`` of them a control token's."""
        self._n_in += n_new
        if n_token:
            self._held.append(self._n_in - n_token)

    def release(self, n_out: int) -> tuple[int, ...]:
        """Return where control tokens begin in the next ``n_out`` characters."""
        began = self._n_out
        self._n_out += n_out
        found = []
        while self._held and self._held[0] < self._n_out:
            found.append(self._held.popleft() - began)
        return tuple(found)
