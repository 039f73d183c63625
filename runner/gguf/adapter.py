"""Whether a GGUF file is a LoRA adapter, and of which kind of model.

Checked before the engine sees it: its own refusal has no reason that a person could read.
Source of the keys: ``src/llama-adapter.cpp``.
"""

from __future__ import annotations

from runner.errors import BadModelFile
from runner.gguf.reader import Header

_SUFFIXES = (".lora_a", ".lora_b")


def check_adapter(header: Header, architecture: str) -> None:
    """Return if ``header`` is that of a LoRA adapter for models of ``architecture``.

    Raises:
        BadModelFile: It is something else, of another architecture, or half of it is missing.
    """
    keys = header.metadata
    if keys.get("general.type") != "adapter" or keys.get("adapter.type") != "lora":
        raise BadModelFile(
            "this is not a LoRA adapter", hint="give an adapter that was converted to GGUF"
        )
    own = keys.get("general.architecture")
    if own != architecture:
        raise BadModelFile(
            f"the adapter is for models of architecture {own!r}, but this one is {architecture!r}",
            hint="give an adapter that was trained on this model",
        )
    names = {tensor.name for tensor in header.tensors}
    whole = {name.removesuffix(end) for name in names for end in _SUFFIXES if name.endswith(end)}
    for name in sorted(whole):
        for end in _SUFFIXES:
            if name + end not in names:
                raise BadModelFile(f"the adapter's tensor '{name}{end}' is missing")
    if not whole:
        raise BadModelFile("the adapter has no tensors", hint="give another build of it")
