"""Whether a GGUF file is a LoRA adapter, and of which kind of model.

Checked before the engine sees it: its own refusal has no reason that a person could read.
Source of the keys: ``src/llama-adapter.cpp``.
"""

from __future__ import annotations

from runner.errors import BadModelFile
from runner.gguf.reader import Header

_SUFFIXES = (".lora_a", ".lora_b")
_EMBEDDING = "token_embd.weight"


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


def check_fits(header: Header, model: Header) -> None:
    """Return if the adapter of ``header``, which ``check_adapter`` has passed, changes ``model``.

    Raises:
        BadModelFile: The model lacks a tensor that it changes, or has it in another shape.

    Source: ``llama_adapter_lora_init_impl`` in ``src/llama-adapter.cpp``.
    """
    shapes = {tensor.name: tensor.shape for tensor in header.tensors}
    own = {tensor.name: tensor.shape for tensor in model.tensors}
    hint = "give an adapter that was trained on this model"
    for half in sorted(name for name in shapes if name.endswith(_SUFFIXES[0])):
        name = half.removesuffix(_SUFFIXES[0])
        shape = own.get(name)
        if shape is None:
            raise BadModelFile(
                f"the adapter changes the tensor '{name}', which the model does not have", hint=hint
            )
        a, b = (_matrix(shapes[name + end], name + end) for end in _SUFFIXES)
        # An embedding is looked up by its rows, so its halves lie the other way round.
        wanted = (b[1], a[1]) if name == _EMBEDDING else (a[0], b[1])
        if tuple(shape[:2]) != wanted or (name != _EMBEDDING and a[1] != b[0]):
            raise BadModelFile(
                f"the adapter is for a tensor '{name}' of {wanted[0]} x {wanted[1]}, but the"
                f" model's has {' x '.join(map(str, shape))}",
                hint=hint,
            )


def _matrix(shape: tuple[int, ...], name: str) -> tuple[int, int]:
    if len(shape) < 2:
        raise BadModelFile(f"the adapter's tensor '{name}' is no matrix")
    return shape[0], shape[1]
