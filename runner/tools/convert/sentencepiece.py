"""A folder whose vocabulary is in ``tokenizer.model`` alone, as the first Llamas were published.

What was added to it later stands beside it in JSON.  Source: ``_create_vocab_sentencepiece`` in
``conversion/base.py`` of llama.cpp.
"""

from __future__ import annotations

from typing import Any

import gguf

from runner.errors import BadModelFile
from runner.tools.convert.bpe import WORD, Bpe, highest_id, looks_special, roles_of, template_of
from runner.tools.convert.folder import ModelFolder
from runner.tools.convert.pieces import read_pieces

_KIND = gguf.TokenType
#: Of what is never merged from parts, but found as a whole.
_ADDED_SCORE = -1000.0


def read_sentencepiece(folder: ModelFolder) -> Bpe:
    """Return the vocabulary in ``tokenizer.model``, and what was added to it.

    Raises:
        BadModelFile: There is none, or it is damaged.
        UnsupportedArchitecture: It does not merge pairs.
    """
    content = folder.content("tokenizer.model")
    if content is None:
        raise BadModelFile(
            f"{folder.place} has no tokenizer.json and no tokenizer.model",
            hint="save it with transformers: AutoTokenizer.from_pretrained(...).save_pretrained()",
        )
    pieces = read_pieces(content)
    settings = folder.json("tokenizer_config.json") or {}
    tokens: dict[int, str] = dict(enumerate(pieces.texts))
    scores = dict(enumerate(pieces.scores))
    kinds = {token_id: _KIND(kind) for token_id, kind in enumerate(pieces.kinds)}
    for token_id, (text, is_control) in _added(folder, settings).items():
        if kinds.get(token_id) is _KIND.UNKNOWN and tokens[token_id] == text:
            continue  # its own entry says more
        kinds[token_id] = _KIND.CONTROL if is_control else _KIND.USER_DEFINED
        tokens[token_id] = text if is_control else text.replace(WORD, " ")
        scores[token_id] = _ADDED_SCORE
    ids = range(highest_id(tokens) + 1)
    adds_space = settings.get("add_prefix_space")
    return Bpe(
        tokens=tuple(tokens.get(i) for i in ids),
        kinds=tuple(kinds.get(i, _KIND.UNUSED) for i in ids),
        merges=(),
        scores=tuple(scores.get(i, _ADDED_SCORE) for i in ids),
        split="default",
        roles=pieces.roles | roles_of(settings, folder, tokens),
        adds_bos=settings.get("add_bos_token") is not False,
        adds_eos=settings.get("add_eos_token") is True,
        adds_space=adds_space if isinstance(adds_space, bool) else pieces.adds_space,
        template=template_of(settings, folder),
    )


def _added(folder: ModelFolder, settings: dict[str, Any]) -> dict[int, tuple[str, bool]]:
    """Tokens that were added, by id, and whether each steers the model."""
    found: dict[int, tuple[str, bool]] = {}
    for text, token_id in (folder.json("added_tokens.json") or {}).items():
        found[_id_of(token_id, "added_tokens.json")] = (text, looks_special(text))
    entries = settings.get("added_tokens_decoder")
    for number, entry in (entries if isinstance(entries, dict) else {}).items():
        if not isinstance(entry, dict):
            raise BadModelFile("an entry of 'added_tokens_decoder' is no object")
        text = str(entry.get("content", ""))
        token_id = int(number) if number.isascii() and number.isdecimal() else number
        is_control = bool(entry.get("special")) or looks_special(text)
        found[_id_of(token_id, "tokenizer_config.json")] = (text, is_control)
    return found


def _id_of(value: Any, file: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise BadModelFile(f"a token that {file} adds has no id, but {str(value)[:40]!r}")
    return value
