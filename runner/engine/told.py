"""What the model thought of a prompt's own tokens, gathered while the prompt is computed.

Logits foretell the token after theirs.  They are there only until the next step, so each chunk of
the prompt is asked right after it was computed; nothing of it can come out of a cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence as Seq

from runner.domain.event import PromptToken, TokenLogprob

#: Tokens of such a prompt in one step: llama.cpp keeps the logits of all of them, up to a megabyte
#: each, and streams beside it wait while they are looked through.
N_STEP = 32


class Told:
    """The tokens of one prompt, in order; changed by the loop thread only.

    Args:
        n_prompt: Tokens of the prompt.
        n_added: Of them, those at the beginning that the caller did not write: they are not told.
    """

    def __init__(self, n_prompt: int, n_added: int) -> None:
        self._n_prompt = n_prompt
        self._next = n_added  # the place of the token that is told next
        self._found: list[PromptToken] = []

    @property
    def is_due(self) -> bool:
        """Whether logits are still wanted."""
        return self._next < self._n_prompt

    def take(
        self,
        tokens: Seq[int],
        start: int,
        rows: Seq[int],
        *,
        foretell: Callable[[int, int], TokenLogprob],
        spelling: Callable[[int], bytes],
    ) -> None:
        """Take a chunk that was computed.

        What was taken already is passed over: a sequence that gave way is computed again.

        Args:
            tokens: Of the sequence.
            start: The place of the first that was computed.
            rows: The logits of each of these, by number.
            foretell: Says what the logits with a number think of a token.
            spelling: The bytes of a token.
        """
        if self._next == 0:
            self._found.append(PromptToken(spelling(tokens[0]), None))
            self._next = 1
        for place in range(self._next, min(start + len(rows) + 1, self._n_prompt)):
            logprob = foretell(rows[place - 1 - start], tokens[place])
            self._found.append(PromptToken(logprob.drawn.content, logprob))
            self._next = place + 1

    def release(self) -> tuple[PromptToken, ...]:
        """Return all tokens, once: when the last of them is known."""
        if self.is_due:
            return ()
        found, self._found = tuple(self._found), []
        return found
