"""Grammars in llama.cpp's own language, GBNF, by its own sampler."""

from __future__ import annotations

from collections.abc import Sequence as Seq

import numpy as np

from runner.domain.request import Constraint
from runner.engine.llama.binding import llama_cpp
from runner.engine.llama.candidates import Candidates
from runner.engine.llama.model import Model
from runner.engine.rules import Mask
from runner.errors import InvalidRequest


class GbnfMatcher:
    """Owns a grammar sampler.  All tokens at once cost it milliseconds, one costs little."""

    is_costly = True
    is_complete = False  # its end is a token: the grammar allows no other then

    def __init__(self, model: Model, constraint: Constraint) -> None:
        """Parse the grammar.

        Raises:
            InvalidRequest: llama.cpp refuses it.
        """
        # A grammar ends at a NUL for llama.cpp, so that it would read less than was asked for.
        text = constraint.text.encode("utf-8", "replace")
        handle = None
        if b"\0" not in text:
            handle = llama_cpp.llama_sampler_init_grammar(model.vocab, text, b"root")
        if not handle:
            raise InvalidRequest(
                f"{constraint.field} is not a GBNF grammar that llama.cpp reads",
                hint="it needs a rule 'root', a definition of each name, and no left recursion",
                param=constraint.field,
            )
        self._grammar = handle
        self._n_vocab = model.n_vocab
        self._all = Candidates(model.n_vocab)
        self._one = Candidates(1)

    def allows(self, token: int) -> bool:
        """Return whether ``token`` may come next."""
        return bool(self._filter(self._one, np.array([token], np.int32)).size)

    def mask(self) -> Mask:
        """Return what may come next."""
        mask = np.zeros(self._n_vocab, np.bool_)
        mask[self._filter(self._all, np.arange(self._n_vocab, dtype=np.int32))] = True
        return mask

    def accept(self, token: int) -> None:
        """Go on after ``token``, which must be allowed: llama.cpp ends the process otherwise."""
        assert self.allows(token), "a token that the grammar forbids"
        llama_cpp.llama_sampler_accept(self._grammar, token)

    def forced(self) -> Seq[int]:
        """Return nothing: the grammar does not tell what is certain."""
        return ()

    def close(self) -> None:
        """Free the sampler."""
        llama_cpp.llama_sampler_free(self._grammar)

    def _filter(self, candidates: Candidates, tokens: np.ndarray) -> np.ndarray:
        candidates.fill(tokens, np.zeros(len(tokens), np.float32))
        candidates.apply(self._grammar)
        return candidates.left()
