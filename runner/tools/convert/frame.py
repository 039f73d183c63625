"""The tokens that an encoder's texts stand between, and which of them have a role.

A text is opened and closed by a token; between the two texts of a pair there are one or two of
those that close.  llama.cpp calls them ``bos``, ``eos`` and ``sep``: it closes the first text of a
pair with ``eos`` and puts ``sep`` after it where ``add_sep_token`` says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gguf

from runner.errors import BadModelFile
from runner.tools.convert.bpe import Bpe, read_bpe
from runner.tools.convert.folder import ModelFolder

_UNFRAMED = "the tokenizer's 'post_processor' does not say which tokens open and close a text"


@dataclass(frozen=True, slots=True)
class Frame:
    """Ids of tokens.

    Attributes:
        opening: Before a text.
        closing: After it.
        closes_twice: Whether two of them stand between the texts of a pair.
        others: Those with other roles: ``unk``, ``pad``, ``mask``.
    """

    opening: int
    closing: int
    closes_twice: bool
    others: dict[str, int]

    def write(self, writer: gguf.GGUFWriter) -> None:
        """Add the keys of the vocabulary that say so."""
        writer.add_bos_token_id(self.opening)
        writer.add_eos_token_id(self.closing)
        writer.add_sep_token_id(self.closing)
        writer.add_add_bos_token(True)
        writer.add_add_eos_token(True)
        writer.add_add_sep_token(self.closes_twice)
        add = {
            "unk": writer.add_unk_token_id,
            "pad": writer.add_pad_token_id,
            "mask": writer.add_mask_token_id,
        }
        for role, token_id in self.others.items():
            add[role](token_id)


def read_frame(
    folder: ModelFolder,
    tokenizer: dict[str, Any],
    tokens: Mapping[int, str],
    *,
    unknown: int | None = None,
) -> Frame:
    """Return the frame that ``tokenizer.json`` puts around texts.

    Args:
        folder: Whose ``tokenizer_config.json`` spells the other tokens with a role.
        tokenizer: ``tokenizer.json``.
        tokens: All tokens by id.
        unknown: The token of what is not known, where the vocabulary says it.

    Raises:
        BadModelFile: It puts none around them, or tokens that there are not.
    """
    ids = {token: token_id for token_id, token in tokens.items()}
    opening, closing, closes_twice = _around(tokenizer.get("post_processor"))
    for token in (opening, closing):
        if token not in ids:
            raise BadModelFile(f"{_UNFRAMED}: {token!r} is none that there is")
    settings = folder.json("tokenizer_config.json") or {}
    others = {} if unknown is None else {"unk": unknown}
    for role in ("unk", "pad", "mask"):
        spelling = settings.get(f"{role}_token")
        if isinstance(spelling, dict):  # an AddedToken, written out
            spelling = spelling.get("content")
        if isinstance(spelling, str) and spelling in ids:
            others.setdefault(role, ids[spelling])
    return Frame(ids[opening], ids[closing], closes_twice, others)


@dataclass(frozen=True, slots=True)
class FramedBpe:
    """A vocabulary of byte pairs, and the tokens that an encoder's texts stand between."""

    bpe: Bpe
    frame: Frame

    def write(self, writer: gguf.GGUFWriter, n_vocab: int) -> None:
        """Add the vocabulary's keys; raises as ``Bpe.write`` does."""
        self.bpe.write_tokens(writer, n_vocab)
        self.frame.write(writer)


def read_framed_bpe(folder: ModelFolder) -> FramedBpe:
    """Return the vocabulary in ``tokenizer.json``; raises as ``read_bpe`` does."""
    bpe = read_bpe(folder)
    tokens = {i: token for i, token in enumerate(bpe.tokens) if token is not None}
    tokenizer = folder.json("tokenizer.json") or {}
    return FramedBpe(bpe, read_frame(folder, tokenizer, tokens))


def _around(processor: Any) -> tuple[str, str, bool]:
    """What opens a text, what closes it, and whether two of these stand inside a pair."""
    kind = processor.get("type") if isinstance(processor, dict) else None
    if kind == "Sequence":
        known = ("TemplateProcessing", "RobertaProcessing", "BertProcessing")
        steps = [one for one in processor.get("processors") or () if isinstance(one, dict)]
        return _around(next((one for one in steps if one.get("type") in known), None))
    if kind in ("RobertaProcessing", "BertProcessing"):
        opening, closing = (_first(processor.get(key)) for key in ("cls", "sep"))
        return opening, closing, kind == "RobertaProcessing"
    if kind != "TemplateProcessing":
        raise BadModelFile(_UNFRAMED)
    single, pair = (_template(processor.get(key)) for key in ("single", "pair"))
    if len(single) != 3 or single[1] is not None:
        raise BadModelFile(_UNFRAMED)
    between = pair[2 : pair.index(None, 2)] if None in pair[2:] else pair[2:3]
    return str(single[0]), str(single[2]), len(between) == 2


def _first(value: Any) -> str:
    """The token of a pair of token and id."""
    return str(value[0]) if isinstance(value, list) and value else ""


def _template(steps: Any) -> list[str | None]:
    """The tokens of a template; ``None`` where a text comes."""
    found: list[str | None] = []
    for step in steps if isinstance(steps, list) else []:
        special = step.get("SpecialToken") if isinstance(step, dict) else None
        found.append(str(special.get("id")) if isinstance(special, dict) else None)
    return found
