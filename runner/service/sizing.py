"""How much context a model gets: as asked, as trained, as memory allows.  Pure."""

from __future__ import annotations

from dataclasses import dataclass

from runner.gguf.memory import kv_cache_bytes
from runner.gguf.metadata import ModelFacts

#: Without being asked, a context takes at most this share of main memory ...
_CONTEXT_SHARE = 16
#: ... and is never below or above these sizes, in tokens.
_LEAST, _MOST = 4096, 32768
#: A context that was asked for may take at most this share; more would push other programs out.
_ASKED_SHARE = 2
#: The cache all sequences share may be larger than one context, within this share of memory.
_POOL_SHARE = 64
_MOST_CONTEXTS = 4


@dataclass(frozen=True, slots=True)
class Sizes:
    """Context of one sequence and cells of the whole cache, in tokens."""

    n_ctx: int
    n_cells: int


def choose_sizes(
    facts: ModelFacts, *, asked: int, memory_bytes: int, draft: ModelFacts | None = None
) -> Sizes:
    """Return the sizes for a model.

    Args:
        facts: The model; its training length, where known, caps the context.
        asked: Context wanted, in tokens; 0: choose one.  One beyond half of memory is cut to that.
        memory_bytes: The machine's main memory.
        draft: The small model that guesses for it, whose cache has as many cells.
    """
    n_cap = facts.n_ctx_train or _LEAST
    widths = (*facts.kv_widths, *(draft.kv_widths if draft else ()))
    per_token = max(1, kv_cache_bytes(1, widths))
    n_ctx = asked or _fitting(memory_bytes // _CONTEXT_SHARE // per_token)
    n_ctx = min(n_ctx, n_cap, max(_LEAST, memory_bytes // _ASKED_SHARE // per_token))
    n_pool = min(memory_bytes // _POOL_SHARE // per_token, _MOST_CONTEXTS * n_ctx)
    return Sizes(n_ctx, max(n_ctx, n_pool))


def _fitting(n_tokens: int) -> int:
    """The largest power of two within ``n_tokens`` and the bounds."""
    n_ctx = _LEAST
    while n_ctx * 2 <= min(n_tokens, _MOST):
        n_ctx *= 2
    return n_ctx
