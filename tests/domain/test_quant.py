"""Quantizations in file names: found whatever the spelling, and nothing else taken for one."""

import pytest
from hypothesis import given, strategies as st

from runner.domain.quant import quantization_in, usual, without_quantization

LABELS = [
    *("Q4_K_M", "Q8_0", "IQ4_XS", "IQ2_XXS", "Q5_K_S", "Q6_K", "Q4_0_8_8", "F16", "BF16", "F32"),
    *("UD-Q4_K_XL", "UD-IQ1_S", "TQ1_0", "MXFP4", "MXFP4_MOE", "Q2_K_L", "Q3_K_XL"),
]


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("Qwen3-4B-Q4_K_M", "Q4_K_M"),
        ("tinyllama-1.1b.q8_0", "Q8_0"),
        ("model-UD-Q4_K_XL", "UD-Q4_K_XL"),
        ("gemma-fp16", "F16"),
        ("mistral-7b-f32", "F32"),
        ("Qwen3-4B", ""),
        ("q4you", ""),
        ("SmolLM2-Q8", ""),
        ("gpt-oss-20b-mxfp4", "MXFP4"),
        ("a-Q4_K_M-b-Q8_0", "Q8_0"),
    ],
)
def test_a_name_gives_its_quantization(name, label):
    assert quantization_in(name) == label


@given(
    st.sampled_from(LABELS),
    st.from_regex(r"[A-Za-z][A-Za-z0-9]{0,8}(-[0-9]{1,2}[bB])?", fullmatch=True),
    st.sampled_from("-._"),
    st.booleans(),
)
def test_any_case_and_separator_gives_the_same_label(label, base, separator, lower):
    name = f"{base}{separator}{label.lower() if lower else label}"
    assert quantization_in(name) == label
    assert without_quantization(name) == base


@given(st.text())
def test_any_text_has_a_label_or_none(text):
    label = quantization_in(text)
    assert usual(label) == label
    assert without_quantization(text) == text or label
