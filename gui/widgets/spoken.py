"""Widgets that remember how their texts are made, to write them anew in another language."""

from __future__ import annotations

from collections.abc import Callable


class Spoken:
    """Mixed into a widget; ``say`` writes a text now and in ``say_again``."""

    def __init__(self) -> None:
        self._said: list[tuple[Callable[[str], object], Callable[[], str]]] = []

    def say(self, put: Callable[[str], object], text: Callable[[], str]) -> None:
        """Write ``text()`` with ``put``, now and whenever the language changes."""
        self._said.append((put, text))
        put(text())

    def say_again(self) -> None:
        """Write every text anew."""
        for put, text in self._said:
            put(text())
