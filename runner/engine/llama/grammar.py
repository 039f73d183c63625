"""What a compiler of constraints needs of a model: llguidance's view of it, and GBNF."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from runner.engine.constrain import Compiler
from runner.engine.llama.binding import llama_cpp
from runner.engine.llama.gbnf import GbnfMatcher
from runner.engine.llama.model import Model
from runner.engine.pieces import PieceIndex

if TYPE_CHECKING:
    from llguidance import LLTokenizer


def new_compiler(model: Model) -> Compiler:
    """Return a compiler for ``model``; it takes what it needs when it first needs it."""
    return Compiler(
        model.n_vocab,
        new_tokenizer=lambda: _tokenizer(model),
        new_gbnf=lambda constraint: GbnfMatcher(model, constraint),
        index=lambda: PieceIndex([model.spelling(token) for token in range(model.n_vocab)]),
        ends=model.eog_indices,
        tokens_of=lambda marker: _tokens_of(model, marker),
    )


def _tokens_of(model: Model, marker: str) -> tuple[int, ...]:
    """Return the tokens of a marker that is a token, or has a control token in it; else none."""
    tokens = tuple(model.tokenize(marker, parse_special=True))
    is_own = len(tokens) == 1 or any(map(model.is_control, tokens))
    return tokens if is_own else ()


def _tokenizer(model: Model) -> LLTokenizer:
    from llguidance.llamacpp import lltokenizer_from_vocab

    # The first one ends the answer; all of them may.
    first = llama_cpp.llama_vocab_eos(model.vocab)
    ends = [first, *sorted(model.eog_tokens - {first})] if first >= 0 else sorted(model.eog_tokens)
    with warnings.catch_warnings():  # it calls a function that the bindings call deprecated
        warnings.simplefilter("ignore", DeprecationWarning)
        return lltokenizer_from_vocab(model.vocab, n_vocab=model.n_vocab, eos_token=ends)
