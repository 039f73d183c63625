"""What a kept state depends on beside model and tokens: this build, and the context's settings."""

from __future__ import annotations

import ctypes

from runner.engine.llama.binding import llama_cpp
from runner.engine.llama.context import Context
from runner.engine.llama.model import Model

#: Fields of ``llama_context_params`` that say how much and how fast, not which numbers come out.
#: All others count, those of a future llama.cpp included.
_OF_NO_ACCOUNT = frozenset(
    {
        *("n_ctx", "n_batch", "n_ubatch", "n_seq_max", "n_rs_seq", "n_samplers"),
        *("n_outputs_max", "n_outputs_max_per_seq", "n_threads", "n_threads_batch"),
        *("defrag_thold", "embeddings", "no_perf"),
    }
)


def build() -> str:
    """Return the versions of bindings, llama.cpp and ggml, with the commit where it is known."""
    versions = [llama_cpp.__version__, llama_cpp.llama_version().decode()]
    for name in ("ggml_version", "ggml_commit"):
        try:
            ask = getattr(llama_cpp.llama_cpp._lib, name)
        except AttributeError:  # where a library does not pass on the names of its own libraries
            continue
        ask.restype = ctypes.c_char_p
        versions.append((ask() or b"").decode())
    return " ".join(versions)


def cache_settings(model: Model, context: Context) -> dict[str, str | int | float]:
    """Return what of a context goes into the numbers of its cache."""
    params = context.params
    settings: dict[str, str | int | float] = {}
    for name, *_ in params._fields_:
        value = getattr(params, name)
        if isinstance(value, bool | int | float) and name not in _OF_NO_ACCOUNT:
            settings[name] = value
    # llama.cpp has two sets of RoPE factors for some models, and picks one by the size of the
    # context: states are exchanged among long ones, or among short ones.
    architecture = model.metadata("general.architecture")
    border = model.metadata(f"{architecture}.rope.scaling.original_context_length")
    settings["rope_is_long"] = border.isdecimal() and context.n_cells > int(border)
    return settings
