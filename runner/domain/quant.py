"""Quantizations as file names spell them: found, made alike, and compared.

    Qwen3-4B-Q4_K_M.gguf         Q4_K_M
    tinyllama.q8_0.gguf          Q8_0
    model-UD-Q4_K_XL.gguf        UD-Q4_K_XL
    gemma-fp16.gguf              F16

Pure text: what a file really holds, its header says.
"""

from __future__ import annotations

import re

#: As llama.cpp names its types (``tools/quantize``), with the sizes that packagers add (``_L``,
#: ``_XL``), a ``UD-`` before it for mixed ones, and the usual spellings of unquantized weights.
_LABEL = re.compile(
    r"(?<![A-Za-z0-9])"
    r"(?:UD[-_])?"
    r"(?:I?Q[1-8]_(?:K(?:_(?:XXS|XS|S|M|L|XL|XXL))?|[01](?:_[48]_[48])?|NL|XXS|XS|S|M)"
    r"|TQ[12]_0|MXFP4(?:_MOE)?|NVFP4|BF16|FP?16|FP?32)"
    r"(?![A-Za-z0-9]|_[A-Za-z0-9])",
    re.IGNORECASE,
)
_PLAIN = {"FP16": "F16", "FP32": "F32"}


def quantization_in(text: str) -> str:
    """Return the last quantization that ``text`` names, in its usual spelling; else ``""``."""
    found = list(_LABEL.finditer(text))
    return usual(found[-1][0]) if found else ""


def usual(label: str) -> str:
    """Return the usual spelling of ``label``: upper case, ``F16`` for ``fp16``."""
    upper = label.upper().replace("UD_", "UD-")
    return _PLAIN.get(upper, upper)


def without_quantization(text: str) -> str:
    """Return ``text`` without the last quantization and the signs around it."""
    found = list(_LABEL.finditer(text))
    if not found:
        return text
    return text[: found[-1].start()].rstrip("-_. ") + text[found[-1].end() :]
