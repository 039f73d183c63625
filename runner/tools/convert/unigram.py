"""A Unigram vocabulary, as XLM-RoBERTa has it, in the form that llama.cpp reads.

A text is cut so that the scores of its pieces add up to the most.  Before that SentencePiece puts
signs in place of others, by a table that the folder has in compiled form and llama.cpp reads as it
is, and makes one space of several.  Source: ``llm_tokenizer_ugm`` in ``src/llama-vocab.cpp``.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gguf

from runner.errors import BadModelFile, UnsupportedArchitecture
from runner.tools.convert.bpe import prepends_space
from runner.tools.convert.folder import ModelFolder
from runner.tools.convert.frame import Frame, read_frame
from runner.tools.convert.vocabulary import filled_up

_KIND = gguf.TokenType
_FILLED_SCORE = -10000.0
#: Steps that llama.cpp's tokenizer of this kind takes by itself.
_NORMALIZERS = frozenset({"Precompiled", "Strip", "Replace"})
_SPLITTERS = frozenset({"WhitespaceSplit", "Metaspace"})
#: What ``Replace`` makes one of, in the spellings of several versions.
_SPACES = (" {2,}", "[ ]{2,}", " +")


@dataclass(frozen=True, slots=True)
class Unigram:
    """A vocabulary.

    Attributes:
        tokens: By id.
        scores: By id.
        kinds: What each is.
        frame: The tokens with a role.
        charsmap: SentencePiece's compiled table of signs.
        adds_space: Whether a space is put before a text.
    """

    tokens: tuple[str, ...]
    scores: tuple[float, ...]
    kinds: tuple[gguf.TokenType, ...]
    frame: Frame
    charsmap: bytes
    adds_space: bool

    def write(self, writer: gguf.GGUFWriter, n_vocab: int) -> None:
        """Add the vocabulary's keys; raises as ``filled_up`` does."""
        n_more = n_vocab - len(self.tokens)
        writer.add_tokenizer_model("t5")
        writer.add_tokenizer_pre("default")
        writer.add_token_list(filled_up(self.tokens, n_vocab))
        writer.add_token_scores([*self.scores, *[_FILLED_SCORE] * n_more])
        writer.add_token_types([*self.kinds, *[_KIND.UNUSED] * n_more])
        writer.add_add_space_prefix(self.adds_space)
        writer.add_remove_extra_whitespaces(True)
        writer.add_precompiled_charsmap(self.charsmap)
        self.frame.write(writer)


def read_unigram(folder: ModelFolder) -> Unigram:
    """Return the vocabulary in ``tokenizer.json``, whose model is of the kind ``Unigram``.

    Raises:
        BadModelFile: It is damaged.
        UnsupportedArchitecture: It changes or splits text in a way that llama.cpp does not.
    """
    tokenizer = folder.json("tokenizer.json") or {}
    model = tokenizer.get("model")
    vocab = model.get("vocab") if isinstance(model, dict) else None
    if not isinstance(model, dict) or not isinstance(vocab, list) or not vocab:
        raise BadModelFile("tokenizer.json has no vocabulary")
    if model.get("byte_fallback"):
        raise _another_way("byte_fallback")
    tokens, scores = [], []
    for entry in vocab:
        if not isinstance(entry, list) or [type(one) for one in entry] not in (
            [str, float],
            [str, int],
        ):
            raise BadModelFile(f"the token {str(entry)[:40]!r} in tokenizer.json has no score")
        tokens.append(entry[0])
        scores.append(float(entry[1]))
    unknown = model.get("unk_id")
    if isinstance(unknown, bool) or not isinstance(unknown, int) or not 0 <= unknown < len(tokens):
        raise BadModelFile(f"'unk_id' in tokenizer.json is {unknown!r}, which is no token")
    kinds = [_KIND.NORMAL] * len(tokens)
    for token_id, text, is_special in _added(tokenizer):
        if token_id >= len(tokens):
            missing = token_id - len(tokens)
            if missing:
                raise BadModelFile(
                    f"the ids of the {len(tokens)} tokens have a hole before {text!r}"
                )
            tokens.append(text)
            scores.append(0.0)
            kinds.append(_KIND.NORMAL)
        kinds[token_id] = _KIND.CONTROL if is_special else _KIND.USER_DEFINED
    kinds[unknown] = _KIND.UNKNOWN
    return Unigram(
        tokens=tuple(tokens),
        scores=tuple(scores),
        kinds=tuple(kinds),
        frame=read_frame(folder, tokenizer, dict(enumerate(tokens)), unknown=unknown),
        charsmap=_charsmap(tokenizer),
        adds_space=prepends_space(tokenizer),
    )


def _added(tokenizer: dict[str, Any]) -> Iterator[tuple[int, str, bool]]:
    """Id and text of each added token in their order, and whether it is special."""
    found = []
    for entry in tokenizer.get("added_tokens") or ():
        token_id = entry.get("id") if isinstance(entry, dict) else None
        if isinstance(token_id, bool) or not isinstance(token_id, int) or token_id < 0:
            raise BadModelFile("an entry of 'added_tokens' in tokenizer.json has no id")
        found.append((token_id, str(entry.get("content", "")), bool(entry.get("special"))))
    yield from sorted(found)


def _charsmap(tokenizer: dict[str, Any]) -> bytes:
    """The table of signs, once all other steps are known to be llama.cpp's own."""
    found = None
    for step in _steps(tokenizer.get("normalizer"), "normalizers"):
        kind = step.get("type")
        pattern = step.get("pattern")
        regex = pattern.get("Regex") if isinstance(pattern, dict) else None
        if kind not in _NORMALIZERS or (kind == "Replace" and regex not in _SPACES):
            raise _another_way(kind)
        if kind == "Precompiled":
            found = step.get("precompiled_charsmap")
    for step in _steps(tokenizer.get("pre_tokenizer"), "pretokenizers"):
        if step.get("type") not in _SPLITTERS:
            raise _another_way(step.get("type"))
    if not isinstance(found, str):
        raise _another_way("no table of signs")
    try:
        table = base64.b64decode(found, validate=True)
    except binascii.Error as error:
        raise BadModelFile(f"'precompiled_charsmap' in tokenizer.json: {error}") from None
    # The first number says how much of it is the tree; what stands in their place is the rest.
    if len(table) < 5 or int.from_bytes(table[:4], "little") + 4 >= len(table):
        raise BadModelFile("'precompiled_charsmap' in tokenizer.json is cut short")
    return table


def _steps(step: Any, inner: str) -> Iterator[dict[str, Any]]:
    """A step, or those of a sequence of steps."""
    if isinstance(step, dict) and step.get("type") == "Sequence":
        for one in step.get(inner) or ():
            yield from _steps(one, inner)
    elif isinstance(step, dict):
        yield step


def _another_way(kind: object) -> UnsupportedArchitecture:
    return UnsupportedArchitecture(
        f"the tokenizer prepares text in a way that is not known here ({str(kind)[:40]})",
        hint="look for a GGUF build of this model",
    )
