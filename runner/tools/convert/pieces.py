"""``tokenizer.model``: the vocabulary as SentencePiece itself stores it, read without its library.

It is a Protocol Buffers message: numbered fields, each a number or bytes.  Source:
``src/sentencepiece_model.proto`` of SentencePiece, and protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from runner.errors import BadModelFile, UnsupportedArchitecture

#: Fields of ``ModelProto``, of a piece, of the trainer's and of the normalizer's settings.
_PIECES, _TRAINER, _NORMALIZER = 1, 2, 3
_PIECE, _SCORE, _TYPE = 1, 2, 3
_MODEL_TYPE, _UNK_ID, _BOS_ID, _EOS_ID, _PAD_ID = 3, 40, 41, 42, 43
_ADDS_SPACE = 3
#: Values of the trainer's ``model_type``, and which of them merges pairs.
_MODEL_TYPES = {1: "unigram", 2: "BPE", 3: "word", 4: "char"}
_BPE = 2
#: What stands for "none" among ids: -1, as 64 bits without a sign.
_NO_ID = 1 << 63


@dataclass(frozen=True, slots=True)
class Pieces:
    """What the file says.

    Attributes:
        texts: Pieces by id.
        scores: By id; what is merged first has the highest.
        kinds: By id, in SentencePiece's numbers, which are GGUF's, too: 1 normal, 2 unknown, 3
            control, 4 user-defined, 5 unused, 6 byte.
        roles: Ids of ``bos``, ``eos``, ``unk`` and ``pad``; those that it has.
        adds_space: Whether a space is put before a text.
    """

    texts: tuple[str, ...]
    scores: tuple[float, ...]
    kinds: tuple[int, ...]
    roles: dict[str, int]
    adds_space: bool


def read_pieces(content: bytes) -> Pieces:
    """Return what ``tokenizer.model`` holds.

    Raises:
        BadModelFile: It is damaged, or no such file.
        UnsupportedArchitecture: It does not merge pairs.
    """
    try:
        return _pieces(content)
    except (IndexError, struct.error, UnicodeDecodeError, TypeError) as error:
        raise BadModelFile(f"tokenizer.model cannot be read: {error}") from None


def _pieces(content: bytes) -> Pieces:
    texts, scores, kinds = [], [], []
    roles = {"unk": 0, "bos": 1, "eos": 2, "pad": _NO_ID}  # unless the trainer's settings say
    model_type, adds_space = 1, True
    for number, value in _fields(content):
        if number == _PIECES:
            piece = dict(_fields(_bytes(value)))
            texts.append(_bytes(piece.get(_PIECE, b"")).decode())
            scores.append(struct.unpack("<f", _bytes(piece.get(_SCORE, bytes(4))))[0])
            kinds.append(_integer(piece.get(_TYPE, 1)))
        elif number == _TRAINER:
            settings = dict(_fields(_bytes(value)))
            model_type = _integer(settings.get(_MODEL_TYPE, 1))
            ids = {"unk": _UNK_ID, "bos": _BOS_ID, "eos": _EOS_ID, "pad": _PAD_ID}
            roles |= {role: _integer(settings.get(ids[role], roles[role])) for role in ids}
        elif number == _NORMALIZER:
            adds_space = bool(dict(_fields(_bytes(value))).get(_ADDS_SPACE, True))
    if not texts:
        raise BadModelFile("tokenizer.model has no pieces")
    if model_type != _BPE:
        raise UnsupportedArchitecture(
            f"the tokenizer is of kind {_MODEL_TYPES.get(model_type, model_type)!r}, not BPE",
            hint="look for a GGUF build of this model",
        )
    if any(kind not in range(1, 7) for kind in kinds):
        raise BadModelFile("tokenizer.model has a piece of a kind that is not known")
    known = {role: one for role, one in roles.items() if one < len(texts)}
    return Pieces(tuple(texts), tuple(scores), tuple(kinds), known, adds_space)


def _fields(content: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield each field's number and value; raises ``IndexError`` where the content ends early."""
    at = 0
    while at < len(content):
        tag, at = _varint(content, at)
        match tag & 7:
            case 0:
                value, at = _varint(content, at)
                yield tag >> 3, value
                continue
            case 1:
                length = 8
            case 2:
                length, at = _varint(content, at)
            case 5:
                length = 4
            case kind:
                raise BadModelFile(f"tokenizer.model has a field of the unknown kind {kind}")
        if at + length > len(content):
            raise IndexError(f"{len(content)} bytes are too few")
        yield tag >> 3, content[at : at + length]
        at += length


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """Return a number of seven bits a byte, the least first, and the place behind it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, at
    raise IndexError("a number has no end")


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise TypeError("a number stands where text should be")
    return value


def _integer(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise TypeError("text stands where a number should be")
    return value
