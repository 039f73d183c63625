"""What a GGUF header says about its model: raw keys to facts.

A wrong type under a key is refused, a missing key is not: what the engine cannot do without, it
will say itself.  ``refuse_unrunnable`` tells files that are GGUF but no whole model.

Source of the keys: ``src/llama-arch.cpp`` and ``src/llama-hparams.cpp``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from runner.domain.model import Capability
from runner.errors import BadModelFile
from runner.gguf.keys import Keys
from runner.gguf.layers import kv_widths
from runner.gguf.reader import Header

_MAX_LAYERS = 512  # llama-hparams.h: LLAMA_MAX_LAYERS

#: ``enum llama_ftype`` in ``llama.h``: what the file's maker calls the whole.
_FILE_TYPES: dict[int, str] = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    7: "Q8_0",
    8: "Q5_0",
    9: "Q5_1",
    10: "Q2_K",
    11: "Q3_K_S",
    12: "Q3_K_M",
    13: "Q3_K_L",
    14: "Q4_K_S",
    15: "Q4_K_M",
    16: "Q5_K_S",
    17: "Q5_K_M",
    18: "Q6_K",
    19: "IQ2_XXS",
    20: "IQ2_XS",
    21: "Q2_K_S",
    22: "IQ3_XS",
    23: "IQ3_XXS",
    24: "IQ1_S",
    25: "IQ4_NL",
    26: "IQ3_S",
    27: "IQ3_M",
    28: "IQ2_S",
    29: "IQ2_M",
    30: "IQ4_XS",
    31: "IQ1_M",
    32: "BF16",
    36: "TQ1_0",
    37: "TQ2_0",
    38: "MXFP4",
    39: "NVFP4",
    40: "Q1_0",
    41: "Q2_0",
}

#: Architectures without a decoder: they embed text, and cannot continue it.
_ENCODERS = frozenset(
    {
        "bert",
        "eurobert",
        "gemma-embedding",
        "jina-bert-v2",
        "jina-bert-v3",
        "llama-embed",
        "modern-bert",
        "neo-bert",
        "nomic-bert",
        "nomic-bert-moe",
        "t5encoder",
    }
)

#: Architectures that answer in another way than token by token, and in which: what they write so
#: is noise, or ends the process.  Source: ``llm_arch_is_diffusion`` in ``src/llama-arch.cpp``, and
#: ``llama_model_has_encoder`` in ``llama.h``.
_OTHER_WAYS = {
    **dict.fromkeys(("dream", "llada", "llada-moe", "rnd1"), "by diffusion, all of it at once"),
    "t5": "with an encoder that reads the prompt first",
}

#: ``enum llama_pooling_type`` in ``llama.h``: a head that scores a query and a document.
_RANK = 4

#: The tokens before and after the gap, new name and old; a model that fills gaps has both.
_FIM_PREFIX = ("tokenizer.ggml.fim_pre_token_id", "tokenizer.ggml.prefix_token_id")
_FIM_SUFFIX = ("tokenizer.ggml.fim_suf_token_id", "tokenizer.ggml.suffix_token_id")


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What the rest of the house wants to know of a model file; 0 or empty when it does not say.

    Attributes:
        architecture: ``general.architecture``: ``llama``, ``qwen3``.
        n_params: Elements of all tensors together.
        quantization: ``Q4_K_M``, ``F16``; ``unknown`` for a file without tensors.
        n_ctx_train: Context length it was trained for, in tokens.
        n_embd: Width of its embeddings.
        n_layer: Blocks.
        kv_widths: One ``(k, v)`` a layer, in elements, as ``memory.kv_cache_bytes`` wants them.
            A window of attention makes a layer's cache smaller than this says.
        n_vocab: Tokens in its vocabulary.
        n_weights_bytes: Bytes of all tensors.
        template: The source of its chat template.
        license: Licence as the file names it: ``apache-2.0``.
        capabilities: What its weights can do; its template has its own (``prompt``).
    """

    architecture: str
    n_params: int
    quantization: str
    n_ctx_train: int
    n_embd: int
    n_layer: int
    kv_widths: tuple[tuple[int, int], ...]
    n_vocab: int
    n_weights_bytes: int
    template: str
    license: str
    capabilities: tuple[Capability, ...]


def describe(header: Header) -> ModelFacts:
    """Return the facts that ``header`` states.

    Raises:
        BadModelFile: ``general.architecture`` is missing, or a key has a value of the wrong type
            or out of range; the message names the key.
    """
    keys = Keys(header.metadata)
    architecture = keys.text("general.architecture")
    if not architecture:
        raise BadModelFile(
            "'general.architecture' is missing: the file does not say which model it is",
            hint="look for another build of this model",
        )
    n_layer = keys.integer(f"{architecture}.block_count", high=_MAX_LAYERS)
    return ModelFacts(
        architecture=architecture,
        n_params=sum(tensor.n_elements for tensor in header.tensors),
        quantization=_quantization(header, keys.integer("general.file_type", default=-1)),
        n_ctx_train=keys.integer(f"{architecture}.context_length"),
        n_embd=keys.integer(f"{architecture}.embedding_length"),
        n_layer=n_layer,
        kv_widths=kv_widths(keys, architecture, n_layer),
        n_vocab=_n_vocab(keys, architecture),
        n_weights_bytes=sum(tensor.n_bytes for tensor in header.tensors),
        template=keys.text("tokenizer.chat_template"),
        license=keys.text("general.license"),
        capabilities=_capabilities(header.metadata, architecture),
    )


def refuse_unrunnable(header: Header) -> None:
    """Return if ``header`` is that of a whole model.

    Raises:
        BadModelFile: It is a projector, an adapter, one shard of several, or has no weights; or it
            writes in a way that is not offered.
    """
    keys = Keys(header.metadata)
    architecture = keys.text("general.architecture")
    kind = keys.text("general.type")
    n_shards = keys.integer("split.count")
    if kind == "adapter":
        raise _not_a_model("a LoRA adapter, which changes another model", "give the model itself")
    if kind == "mmproj" or architecture == "clip":
        raise _not_a_model(
            "a projector, the eyes or ears of another model", "give the language model's own file"
        )
    if kind == "imatrix" or architecture == "imatrix":
        raise _not_a_model("an importance matrix for quantizing", "give the model itself")
    if n_shards > 1:
        number = keys.integer("split.no") + 1
        raise _not_a_model(
            f"part {number} of a model in {n_shards} files",
            "join the parts first: llama-gguf-split --merge FIRST-PART OUTPUT",
        )
    if way := _OTHER_WAYS.get(architecture):
        raise BadModelFile(
            f"a model of the architecture '{architecture}' answers {way}, which is not offered",
            hint="take a model that writes one token after the other: most do",
        )
    if not header.tensors:
        raise _not_a_model("a GGUF file without weights", "give the model itself")


def join_shards(headers: Sequence[Header]) -> Header:
    """Return the header of a model in several files: the first one's keys, everybody's tensors.

    Raises:
        BadModelFile: The files are not all parts of one model, in their order.
    """
    first, *others = headers
    n_shards = Keys(first.metadata).integer("split.count")
    if not others and n_shards <= 1:
        return first
    if n_shards != len(headers):
        raise BadModelFile(
            f"the model has {n_shards} parts, but {len(headers)} are here",
            hint="all parts must lie beside each other on the hub",
        )
    names: set[str] = set()
    for number, header in enumerate(headers):
        keys = Keys(header.metadata)
        told = keys.integer("split.no"), keys.integer("split.count")
        if told != (number, n_shards):
            raise BadModelFile(
                f"part {number + 1} of {n_shards} says that it is part {told[0] + 1} of {told[1]}"
            )
        own = {tensor.name for tensor in header.tensors}
        if twice := names & own:
            raise BadModelFile(f"tensor '{min(twice)}' is in two parts of the model")
        names |= own
    return replace(
        first,
        metadata={**first.metadata, "split.count": 0},
        tensors=tuple(tensor for header in headers for tensor in header.tensors),
        n_file_bytes=sum(header.n_file_bytes for header in headers),
    )


def refuse_wrong_kind(header: Header, kind: str) -> None:
    """Return if ``header`` is that of a ``projector`` or an ``adapter``, as ``kind`` says.

    Raises:
        BadModelFile: It is something else, or has no tensors.
    """
    keys = Keys(header.metadata)
    told = keys.text("general.type")
    architecture = keys.text("general.architecture")
    is_it = {
        "projector": told == "mmproj" or architecture == "clip",
        "adapter": told == "adapter",
    }[kind]
    if not is_it:
        shown = told or architecture or "nothing that it names"
        raise BadModelFile(
            f"this is no {kind}: the file says it is '{shown[:40]}'",
            hint=f"give the {kind}'s own GGUF file",
        )
    if not header.tensors:
        raise BadModelFile(f"this {kind} has no weights", hint="download it again")
    if kind == "adapter":
        _refuse_lone_halves(header)


def _refuse_lone_halves(header: Header) -> None:
    """Refuse an adapter with a tensor that has no other half: llama.cpp wants ``a`` and ``b``."""
    names = {tensor.name for tensor in header.tensors}
    for name in sorted(names):
        stem, _, half = name.rpartition(".lora_")
        if half in ("a", "b") and f"{stem}.lora_{'b' if half == 'a' else 'a'}" not in names:
            raise BadModelFile(f"tensor '{name}' of the adapter has no other half")


def _not_a_model(what: str, hint: str) -> BadModelFile:
    return BadModelFile(f"this is {what}; it cannot run alone", hint=hint)


def _quantization(header: Header, file_type: int) -> str:
    """The maker's word for the whole; else the type that holds most of the elements."""
    if file_type in _FILE_TYPES:
        return _FILE_TYPES[file_type]
    elements: Counter[str] = Counter()
    for tensor in header.tensors:
        elements[tensor.type_name] += tensor.n_elements
    return elements.most_common(1)[0][0] if elements else "unknown"


def _n_vocab(keys: Keys, architecture: str) -> int:
    return keys.length("tokenizer.ggml.tokens") or keys.integer(f"{architecture}.vocab_size")


def _capabilities(metadata: Mapping[str, Any], architecture: str) -> tuple[Capability, ...]:
    pooling = metadata.get(f"{architecture}.pooling_type")
    if pooling == _RANK:
        return (Capability.RERANK,)
    if architecture in _ENCODERS or pooling is not None:
        return (Capability.EMBEDDING,)
    found = [Capability.COMPLETION]
    if any(key in metadata for key in _FIM_PREFIX) and any(key in metadata for key in _FIM_SUFFIX):
        found.append(Capability.INSERT)
    return tuple(found)
