"""Texts into word pieces, as the library that BERT's models come with does it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from runner.engine.wordpiece import WORD, WordPiece

# ruff: noqa: RUF001 - letters of many scripts
tokenizers = pytest.importorskip("tokenizers")

LETTERS = "abcσςéहिनदीमे्ंকো文ا1.-'$€İ️"
VOCABULARY = [
    "[UNK]",
    *dict.fromkeys(each for char in LETTERS for each in (char, char.lower(), "##" + char.lower())),
    *("हि", "##न्दी", "हिनदी", "abc", "##bc"),
]
CHARS = st.sampled_from(LETTERS + " \n\t\v\x85\u200d\u00a0\u0301\u2028\ufffd\u03a3\u00c9A")
#: Of scripts that no version of Unicode has changed since.
TEXTS = st.text(CHARS | st.characters(max_codepoint=0x17F)) | st.text(CHARS)


def ours(*, is_lower: bool) -> WordPiece:
    ids = {
        token.removeprefix("##") if token.startswith("##") else WORD + token: token_id
        for token_id, token in enumerate(VOCABULARY)
    }
    return WordPiece(ids, 0, is_lower=is_lower, strips_accents=is_lower)


def theirs(*, is_lower: bool):
    vocabulary = {token: token_id for token_id, token in enumerate(VOCABULARY)}
    made = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]"))
    made.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=is_lower)
    made.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    return made


@pytest.mark.parametrize("is_lower", [True, False])
def test_a_text_becomes_the_library_s_tokens(is_lower):
    mine, library = ours(is_lower=is_lower), theirs(is_lower=is_lower)

    @settings(deadline=None)
    @given(TEXTS)
    def same(text):
        assert mine.tokenize(text) == library.encode(text, add_special_tokens=False).ids

    same()


def test_vowels_with_a_width_stay_and_marks_without_go():
    words = list(ours(is_lower=True)._words("हिन्दी में café"))
    assert words == ["हिनदी", "म", "cafe"]


def test_a_word_beyond_a_hundred_characters_is_unknown():
    mine = ours(is_lower=True)
    assert mine.tokenize("a" * 101) == [0]
    assert mine.tokenize("a" * 100) != [0]


@pytest.mark.parametrize(
    ("text", "differs"),
    [
        ("plain words", False),
        ("cafe\u0301 文字", False),
        ("हिन्दी", True),
        ("a" * 101, True),
        ("a" * 100 + " b", False),
    ],
)
def test_it_is_asked_only_where_llama_cpp_reads_otherwise(text, differs):
    assert ours(is_lower=True).differs(text) is differs
