"""A prompt as the model gets it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Prompt:
    """Text, the tokens it becomes, and how many the model can take in all.

    Attributes:
        text: As it was rendered; control tokens by their names.
        tokens: With the beginning-of-sequence token, where a whole prompt was asked for.
        n_ctx: The context of one sequence, in tokens.
    """

    text: str
    tokens: tuple[int, ...]
    n_ctx: int
