"""Vocabularies in SentencePiece's own file: read as they were written, and damaged ones refused."""

from __future__ import annotations

import struct

import gguf
import pytest
from hypothesis import given, settings, strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers

from runner.errors import BadModelFile, UnsupportedArchitecture
from runner.gguf.reader import read_header
from runner.protocol.messages import Load
from runner.tools.convert.convert import convert
from runner.tools.convert.pieces import read_pieces
from tests.fakes.bert_folder import write_json
from tests.fakes.published_decoder import published

NORMAL, UNKNOWN, CONTROL, USER, UNUSED, BYTE = range(1, 7)
#: What is merged, in this order.
MERGED = [
    "\u2581t",
    "th",
    "he",
    "\u2581th",
    "the",
    "\u2581the",
    "ca",
    "at",
    "cat",
    "\u2581cat",
    "\u2581s",
]
LETTERS = ["\u2581", *"abcdefghijklmnopqrstuvwxyz"]
PIECES = [
    ("<unk>", 0.0, UNKNOWN),
    ("<s>", 0.0, CONTROL),
    ("</s>", 0.0, CONTROL),
    *((f"<0x{byte:02X}>", 0.0, BYTE) for byte in range(256)),
    *((text, -float(number), NORMAL) for number, text in enumerate(MERGED)),
    *((text, -100.0 - number, NORMAL) for number, text in enumerate(LETTERS)),
]
TEXTS = ("the cat sat", "the the", "", " a  b", "you 你 é", "catcat", "<s>the</s>")


def varint(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def field(number: int, value: int | float | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value % (1 << 64))
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def sentencepiece(pieces=PIECES, *, kind: int = 2, adds_space: bool = True, pad: int = -1) -> bytes:
    """What SentencePiece's library writes, with settings that nobody needs among the others."""
    body = b""
    for text, score, piece_kind in pieces:
        told = b"" if piece_kind == NORMAL else field(3, piece_kind)
        body += field(1, field(1, text.encode()) + field(2, score) + told)
    trainer = field(1, b"corpus.txt") + field(3, kind) + field(4, len(pieces)) + field(43, pad)
    normalizer = field(1, b"identity") + field(3, int(adds_space))
    return body + field(2, trainer) + field(3, normalizer)


@pytest.fixture
def folder(tmp_path):
    folder = published(tmp_path / "folder", "LlamaForCausalLM", n_more_rows=64)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    (folder / "tokenizer.model").write_bytes(sentencepiece())
    return folder


def reference() -> Tokenizer:
    """The same vocabulary in Hugging Face's library, which merges by order and not by score."""
    known = {*MERGED, *LETTERS}
    cuts = ((text[:n], text[n:]) for text in MERGED for n in range(1, len(text)))
    pairs = [pair for pair in cuts if known.issuperset(pair)]
    ids = {text: number for number, (text, _, _) in enumerate(PIECES)}
    tokenizer = Tokenizer(models.BPE(ids, pairs, unk_token="<unk>", byte_fallback=True))
    space = normalizers.Replace(" ", "\u2581")
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), space])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback()]
    )
    return tokenizer


@pytest.mark.live
def test_texts_are_cut_as_hugging_faces_library_cuts_them(folder, tmp_path):
    from runner.engine.llama.backend import LlamaBackend

    out = tmp_path / "out.gguf"
    convert(folder, out)
    backend = LlamaBackend(Load("l", str(out), n_ctx=64, n_cells=64, n_seq_max=1, n_threads=1))
    try:
        for text in TEXTS:
            wanted = reference().encode(text, add_special_tokens=False).ids
            assert backend.model.tokenize(text, parse_special=False) == wanted, text
    finally:
        backend.close()


def test_what_was_added_later_has_its_place(folder, tmp_path):
    n = len(PIECES)
    added = {
        "0": {"content": "<unk>", "special": True},
        "2": {"content": "</s>", "special": True},
        str(n): {"content": "<|im_start|>", "special": False},
        str(n + 2): {"content": "\u2581tool", "special": False},
    }
    write_json(folder / "added_tokens.json", {"<extra>": n + 1})
    write_json(
        folder / "tokenizer_config.json",
        {"added_tokens_decoder": added, "eos_token": "<|im_start|>", "add_bos_token": False},
    )
    out = tmp_path / "out.gguf"
    convert(folder, out)
    keys = read_header(out).metadata
    reader = gguf.GGUFReader(out)
    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    kinds = reader.fields["tokenizer.ggml.token_type"].contents()
    scores = reader.fields["tokenizer.ggml.scores"].contents()
    assert tokens[n : n + 4] == ["<|im_start|>", "<extra>", " tool", f"[PAD{n + 3}]"]
    assert kinds[n : n + 4] == [CONTROL, USER, USER, UNUSED]
    assert kinds[:3] == [UNKNOWN, CONTROL, CONTROL]
    assert scores[PIECES.index(("th", -1.0, NORMAL))] == -1.0
    assert keys["tokenizer.ggml.eos_token_id"] == n
    assert (keys["tokenizer.ggml.bos_token_id"], keys["tokenizer.ggml.unknown_token_id"]) == (1, 0)
    assert keys["tokenizer.ggml.add_bos_token"] is False
    assert "tokenizer.ggml.padding_token_id" not in keys


def test_a_space_is_put_before_texts_where_the_file_or_the_settings_say(folder, tmp_path):
    def adds_space():
        convert(folder, tmp_path / "out.gguf")
        return read_header(tmp_path / "out.gguf").metadata["tokenizer.ggml.add_space_prefix"]

    assert adds_space() is True
    (folder / "tokenizer.model").write_bytes(sentencepiece(adds_space=False))
    assert adds_space() is False
    write_json(folder / "tokenizer_config.json", {"add_prefix_space": True})
    assert adds_space() is True


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        (sentencepiece(kind=1), UnsupportedArchitecture, "kind 'unigram', not BPE"),
        (b"", BadModelFile, "no pieces"),
        (sentencepiece()[:-3], BadModelFile, "too few"),
        (b"not a message at all", BadModelFile, r"tokenizer\.model"),
        (sentencepiece([("a", 0.0, 9)]), BadModelFile, "kind that is not known"),
    ],
)
def test_what_cannot_be_used_is_told(folder, tmp_path, content, error, words):
    (folder / "tokenizer.model").write_bytes(content)
    with pytest.raises(error, match=words):
        convert(folder, tmp_path / "out.gguf")


@pytest.mark.parametrize("settings", [{"x": {"content": "a"}}, {"-1": {}}, {"999999": {}}])
def test_a_token_that_is_added_nowhere_is_refused(folder, tmp_path, settings):
    write_json(folder / "tokenizer_config.json", {"added_tokens_decoder": settings})
    with pytest.raises(BadModelFile, match=r"has no id|go up to"):
        convert(folder, tmp_path / "out.gguf")


def test_without_any_vocabulary_the_way_to_one_is_told(folder, tmp_path):
    (folder / "tokenizer.model").unlink()
    with pytest.raises(BadModelFile, match=r"no tokenizer\.json and no tokenizer\.model"):
        convert(folder, tmp_path / "out.gguf")


SMALL = sentencepiece(PIECES[:3] + PIECES[-3:])


@given(at=st.integers(0, len(SMALL) - 1), byte=st.integers(0, 255), cut=st.integers(0, len(SMALL)))
@settings(max_examples=200)
def test_damage_is_refused_or_gives_a_vocabulary(at, byte, cut):
    content = (SMALL[:at] + bytes([byte]) + SMALL[at + 1 :])[:cut]
    try:
        pieces = read_pieces(content)
    except BadModelFile:
        return
    assert len(pieces.texts) == len(pieces.scores) == len(pieces.kinds)
    assert all(one < len(pieces.texts) for one in pieces.roles.values())


@given(st.binary(max_size=60))
def test_any_bytes_are_refused_or_give_a_vocabulary(content):
    try:
        read_pieces(content)
    except BadModelFile:
        return
