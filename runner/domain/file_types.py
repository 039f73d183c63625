"""What a whole model file can be quantized to, by the names that llama.cpp's own tool takes.

A type is a recipe: which storage each tensor gets, most in the one that names it and some in
better ones.  Source of names and numbers: ``tools/quantize/quantize.cpp``.
"""

from __future__ import annotations

#: The number of each in ``enum llama_ftype``.
FILE_TYPES: dict[str, int] = {
    "F32": 0,
    "F16": 1,
    "BF16": 32,
    "Q8_0": 7,
    "Q6_K": 18,
    "Q5_K_M": 17,
    "Q5_K_S": 16,
    "Q5_1": 9,
    "Q5_0": 8,
    "Q4_K_M": 15,
    "Q4_K_S": 14,
    "Q4_1": 3,
    "Q4_0": 2,
    "IQ4_NL": 25,
    "IQ4_XS": 30,
    "MXFP4_MOE": 38,
    "Q3_K_L": 13,
    "Q3_K_M": 12,
    "Q3_K_S": 11,
    "IQ3_M": 27,
    "IQ3_S": 26,
    "IQ3_XS": 22,
    "IQ3_XXS": 23,
    "Q2_K": 10,
    "Q2_K_S": 21,
    "Q2_0": 41,
    "IQ2_M": 29,
    "IQ2_S": 28,
    "IQ2_XS": 20,
    "IQ2_XXS": 19,
    "TQ2_0": 37,
    "TQ1_0": 36,
    "IQ1_M": 31,
    "IQ1_S": 24,
    "Q1_0": 40,
}
#: Shorter spellings of some.
_ALIASES = {"Q3_K": "Q3_K_M", "Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M", "MXFP4": "MXFP4_MOE"}

#: What one gets who names none: small, and as good as most can tell.
DEFAULT_FILE_TYPE = "Q4_K_M"


def file_type(text: str) -> str:
    """Return the usual spelling of a type, in any case and by its other names.

    Raises:
        ValueError: There is no such type; the message lists them.
    """
    name = text.strip().upper().replace("-", "_")
    name = {"FP16": "F16", "FP32": "F32"}.get(name, _ALIASES.get(name, name))
    if name not in FILE_TYPES:
        raise ValueError(f"no type '{text[:40]}'; there are: {', '.join(FILE_TYPES)}")
    return name
