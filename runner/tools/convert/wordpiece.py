"""A WordPiece vocabulary, as BERT has it, in the form that llama.cpp reads.

llama.cpp marks the beginning of a word (U+2581 before it) where BERT marks the inside of one
(``##``).  Source: ``llm_tokenizer_wpm_session`` in ``src/llama-vocab.cpp``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gguf

from runner.errors import BadModelFile
from runner.tools.convert.folder import ModelFolder
from runner.tools.convert.vocabulary import filled_up

_WORD = "\u2581"
_INSIDE = "##"
#: Roles of special tokens: how the folder spells the key, and what adds it to the file.
_ROLES = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}


@dataclass(frozen=True, slots=True)
class WordPiece:
    """A vocabulary.

    Attributes:
        tokens: By id, as BERT spells them.
        special: Ids of control tokens by role: ``cls_token`` and the like.
        control: Ids of all control tokens.
        is_lower: Whether text is lower-cased first.
        strips_accents: Whether accents are taken off.
    """

    tokens: tuple[str, ...]
    special: dict[str, int]
    control: frozenset[int]
    is_lower: bool
    strips_accents: bool

    def write(self, writer: gguf.GGUFWriter, n_vocab: int) -> None:
        """Add the vocabulary's keys; raises as ``filled_up`` does."""
        kinds = gguf.TokenType
        spelled, types = [], []
        for token_id, token in enumerate(self.tokens):
            is_control = token_id in self.control
            spelled.append(token if is_control else _spelled(token))
            types.append(kinds.CONTROL if is_control else kinds.NORMAL)
        types += [kinds.UNUSED] * (n_vocab - len(types))
        writer.add_tokenizer_model("bert")
        writer.add_tokenizer_pre("default")
        writer.add_token_list(filled_up(spelled, n_vocab))
        writer.add_token_types(types)
        writer.add_bool("tokenizer.ggml.normalizer.lowercase", self.is_lower)
        writer.add_bool("tokenizer.ggml.normalizer.strip_accents", self.strips_accents)
        add = {
            "unk_token": writer.add_unk_token_id,
            "sep_token": writer.add_sep_token_id,
            "pad_token": writer.add_pad_token_id,
            "cls_token": writer.add_bos_token_id,  # llama.cpp's word for what opens a text
            "mask_token": writer.add_mask_token_id,
        }
        for role, token_id in self.special.items():
            add[role](token_id)


def _spelled(token: str) -> str:
    return token.removeprefix(_INSIDE) if token.startswith(_INSIDE) else _WORD + token


def read_wordpiece(folder: ModelFolder) -> WordPiece:
    """Return the vocabulary of a folder: of ``tokenizer.json``, else of ``vocab.txt``.

    Raises:
        BadModelFile: There is none, it is of another kind, or has holes.
    """
    settings = folder.json("tokenizer_config.json") or {}
    tokenizer = folder.json("tokenizer.json")
    if tokenizer is not None:
        tokens, added = _from_json(tokenizer)
        normalizer = tokenizer.get("normalizer")
    else:
        tokens, added, normalizer = _from_lines(folder), frozenset(), None
    if not isinstance(normalizer, dict):
        normalizer = {"lowercase": settings.get("do_lower_case", True)}
    special = {}
    ids = {token: token_id for token_id, token in enumerate(tokens)}
    for role, default in _ROLES.items():
        spelling = settings.get(role, default)
        if isinstance(spelling, dict):  # an AddedToken, written out
            spelling = spelling.get("content")
        if isinstance(spelling, str) and spelling in ids:
            special[role] = ids[spelling]
    missing = [role for role in ("unk_token", "sep_token", "cls_token") if role not in special]
    if missing:
        raise BadModelFile(f"the vocabulary has no {missing[0]}")
    is_lower = bool(normalizer.get("lowercase", True))
    accents = normalizer.get("strip_accents")
    return WordPiece(
        tokens=tokens,
        special=special,
        control=added | frozenset(special.values()),
        is_lower=is_lower,
        strips_accents=is_lower if accents is None else bool(accents),
    )


def _from_json(tokenizer: dict[str, Any]) -> tuple[tuple[str, ...], frozenset[int]]:
    """Tokens by id, and the ids of those added as special."""
    model = tokenizer.get("model")
    kind = model.get("type") if isinstance(model, dict) else None
    vocab = model.get("vocab") if isinstance(model, dict) else None
    if kind != "WordPiece" or not isinstance(vocab, dict):
        raise BadModelFile(
            f"the tokenizer is of kind {kind!r}, not WordPiece",
            hint="only BERT models with a WordPiece vocabulary can be converted",
        )
    by_id: dict[int, str] = {}
    for token, token_id in vocab.items():
        by_id[token_id] = token
    control = set()
    for entry in tokenizer.get("added_tokens") or []:
        if not isinstance(entry, dict) or not isinstance(entry.get("id"), int):
            raise BadModelFile("an entry of 'added_tokens' in tokenizer.json has no id")
        by_id[entry["id"]] = str(entry.get("content", ""))
        if entry.get("special"):
            control.add(entry["id"])
    if set(by_id) != set(range(len(by_id))):
        raise BadModelFile(f"the ids of the {len(by_id)} tokens in tokenizer.json have holes")
    return tuple(by_id[token_id] for token_id in range(len(by_id))), frozenset(control)


def _from_lines(folder: ModelFolder) -> tuple[str, ...]:
    text = folder.text("vocab.txt")
    if text is None:
        raise BadModelFile(
            f"{folder.place} has no vocabulary",
            hint="it needs tokenizer.json or vocab.txt, as the hub publishes them",
        )
    # Not splitlines: some tokens are themselves what Unicode takes for the end of a line.
    return tuple(line.removesuffix("\r") for line in text.removesuffix("\n").split("\n"))
