"""A vocabulary of byte pairs, as Llama and Qwen have it, in the form that llama.cpp reads.

There are two kinds.  One works on bytes and has a way of splitting text beforehand, which
llama.cpp must know by a name of its own.  The other, older one is SentencePiece's, whose tokens
have scores; what is merged first has the highest.  Source: ``conversion/base.py`` of llama.cpp.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import gguf

from runner.errors import BadModelFile, UnsupportedArchitecture
from runner.tools.convert.folder import ModelFolder

#: How text is split, by the regular expression in ``tokenizer.json``; the name is llama.cpp's.
_SPLITS = {
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+": "llama-bpe",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+": "qwen2",
}
_WORD = "\u2581"
#: ``tokenizer_config.json``'s words for the roles of tokens, and what adds each to the file.
_ROLES = ("bos", "eos", "unk", "pad")
_KIND = gguf.TokenType


@dataclass(frozen=True, slots=True)
class Bpe:
    """A vocabulary.

    Attributes:
        tokens: By id; a hole is ``None``.
        kinds: What each is.
        merges: Pairs in the order of merging, a space between the two; empty for SentencePiece.
        scores: Of SentencePiece, by id.
        split: llama.cpp's name of the way that text is split.
        roles: Ids of tokens with a role: ``bos`` and the like.
        adds_bos: Whether a text begins with ``bos``.
        adds_eos: Whether it ends with ``eos``.
        adds_space: Whether a space is put before the text.
        template: The chat template; ``None``: there is none.
    """

    tokens: tuple[str | None, ...]
    kinds: tuple[gguf.TokenType, ...]
    merges: tuple[str, ...]
    scores: tuple[float, ...]
    split: str
    roles: dict[str, int]
    adds_bos: bool
    adds_eos: bool
    adds_space: bool
    template: str | None

    def write(self, writer: gguf.GGUFWriter, n_vocab: int) -> None:
        """Add the vocabulary's keys; ids up to ``n_vocab`` that have no token are filled up.

        Raises:
            BadModelFile: There are more tokens than rows of the embedding.
        """
        if len(self.tokens) > n_vocab:
            raise BadModelFile(f"{len(self.tokens)} tokens, but the model knows only {n_vocab}")
        n_more = n_vocab - len(self.tokens)
        tokens = [*self.tokens, *[None] * n_more]
        writer.add_tokenizer_model("llama" if self.scores else "gpt2")
        writer.add_tokenizer_pre(self.split)
        writer.add_token_list(
            [f"[PAD{i}]" if token is None else token for i, token in enumerate(tokens)]
        )
        if self.scores:
            writer.add_token_scores([*self.scores, *[-10000.0] * n_more])
        writer.add_token_types([*self.kinds, *[_KIND.UNUSED] * n_more])
        if self.merges:
            writer.add_token_merges(list(self.merges))
        add = {
            "bos": writer.add_bos_token_id,
            "eos": writer.add_eos_token_id,
            "unk": writer.add_unk_token_id,
            "pad": writer.add_pad_token_id,
        }
        for role, token_id in self.roles.items():
            add[role](token_id)
        writer.add_add_bos_token(self.adds_bos)
        writer.add_add_eos_token(self.adds_eos)
        writer.add_add_space_prefix(self.adds_space)
        if self.template is not None:
            writer.add_chat_template(self.template)


def read_bpe(folder: ModelFolder) -> Bpe:
    """Return the vocabulary in ``tokenizer.json``.

    Raises:
        BadModelFile: There is none, or it is damaged.
        UnsupportedArchitecture: It is of another kind, or splits text in a way not known here.
    """
    tokenizer = folder.json("tokenizer.json")
    if tokenizer is None:
        raise BadModelFile(
            f"{folder.place} has no tokenizer.json",
            hint="save it with transformers: AutoTokenizer.from_pretrained(...).save_pretrained()",
        )
    settings = folder.json("tokenizer_config.json") or {}
    model = tokenizer.get("model")
    if not isinstance(model, dict) or model.get("type", "BPE") != "BPE":
        kind = model.get("type") if isinstance(model, dict) else None
        raise UnsupportedArchitecture(
            f"the tokenizer is of kind {kind!r}, not BPE",
            hint="look for a GGUF build of this model",
        )
    entries = _Entries(tokenizer, model)
    merges = _merges(model)
    is_sentencepiece = bool(model.get("byte_fallback"))
    ends = _ends(tokenizer, settings)
    return Bpe(
        tokens=tuple(entries.by_id.get(i) for i in range(entries.n)),
        kinds=tuple(entries.kind(i, is_sentencepiece=is_sentencepiece) for i in range(entries.n)),
        merges=() if is_sentencepiece else tuple(" ".join(map(_joined, pair)) for pair in merges),
        scores=entries.scores(merges) if is_sentencepiece else (),
        split="default" if is_sentencepiece else _split(tokenizer),
        roles=_roles(settings, folder, entries),
        adds_bos=ends[0],
        adds_eos=ends[1],
        adds_space=is_sentencepiece and _prepends(tokenizer),
        template=_template(settings, folder),
    )


@dataclass(slots=True)
class _Entries:
    """Tokens by id, those added among them."""

    tokenizer: dict[str, Any]
    model: dict[str, Any]
    by_id: dict[int, str] = field(init=False)
    added: dict[int, bool] = field(init=False)  # and whether they are special
    n: int = field(init=False)

    def __post_init__(self) -> None:
        vocab = self.model.get("vocab")
        if not isinstance(vocab, dict) or not vocab:
            raise BadModelFile("tokenizer.json has no vocabulary")
        self.by_id = {}
        self.added = {}
        for token, token_id in vocab.items():
            if isinstance(token_id, bool) or not isinstance(token_id, int) or token_id < 0:
                raise BadModelFile(f"the token {token!r} in tokenizer.json has no id")
            self.by_id[token_id] = token
        for entry in self.tokenizer.get("added_tokens") or ():
            token_id = entry.get("id") if isinstance(entry, dict) else None
            if isinstance(token_id, bool) or not isinstance(token_id, int) or token_id < 0:
                raise BadModelFile("an entry of 'added_tokens' in tokenizer.json has no id")
            self.by_id[token_id] = str(entry.get("content", ""))
            self.added[token_id] = bool(entry.get("special"))
        self.n = max(self.by_id) + 1
        if self.n > 2 * len(self.by_id) + 4096:
            raise BadModelFile(f"the ids of tokens in tokenizer.json go up to {self.n - 1}")

    def kind(self, token_id: int, *, is_sentencepiece: bool) -> gguf.TokenType:
        """What llama.cpp takes a token for."""
        token = self.by_id.get(token_id)
        if token is None:
            return _KIND.UNUSED
        if is_sentencepiece and token == self.model.get("unk_token"):
            return _KIND.UNKNOWN
        if token_id in self.added:
            is_control = self.added[token_id] or _looks_special(token)
            return _KIND.CONTROL if is_control else _KIND.USER_DEFINED
        is_byte = len(token) == 6 and token.startswith("<0x") and token.endswith(">")
        return _KIND.BYTE if is_sentencepiece and is_byte else _KIND.NORMAL

    def scores(self, merges: list[tuple[str, str]]) -> tuple[float, ...]:
        """The earlier two parts are merged, the higher the score of what they become."""
        rank: dict[str, int] = {}
        for number, (left, right) in enumerate(merges):
            rank.setdefault(left + right, number)
        return tuple(
            -float(rank.get(self.by_id.get(i) or "", len(rank) + i)) if i not in self.added else 0.0
            for i in range(self.n)
        )


def _looks_special(token: str) -> bool:
    """Whether a token steers the model, though its entry does not say so."""
    return token in ("<pad>", "<mask>", "<2mass>", "[@BOS@]") or (
        token.startswith("<|") and token.endswith("|>")
    )


def _merges(model: dict[str, Any]) -> list[tuple[str, str]]:
    """Pairs; older files have each as one text with a space."""
    found = []
    for entry in model.get("merges") or ():
        pair = tuple(entry.split(" ")) if isinstance(entry, str) else tuple(entry)
        if len(pair) != 2 or not all(isinstance(part, str) for part in pair):
            raise BadModelFile(f"the merge {str(entry)[:40]!r} in tokenizer.json is no pair")
        found.append((pair[0], pair[1]))
    if not found:
        raise BadModelFile("tokenizer.json has no merges")
    return found


def _joined(part: str) -> str:
    """A space inside of a part would end it; llama.cpp's converter moves it, and so do we."""
    return part.replace(" ", chr(ord(" ") + 256))


def _split(tokenizer: dict[str, Any]) -> str:
    """llama.cpp's name for how text is split.

    Raises:
        UnsupportedArchitecture: It has none that we know.
    """
    outer = tokenizer.get("pre_tokenizer") or {}
    found = outer.get("pretokenizers") if outer.get("type") == "Sequence" else [outer]
    steps = [step for step in found or () if isinstance(step, dict)]
    kinds = [step.get("type") for step in steps]
    match kinds:
        case ["Digits", "ByteLevel"] if steps[0].get("individual_digits"):
            return "smollm"
        case ["ByteLevel"] if steps[0].get("use_regex", True):
            return "gpt-2"
        case ["Split", "ByteLevel"]:
            pattern = steps[0].get("pattern")
            regex = pattern.get("Regex") if isinstance(pattern, dict) else None
            if regex in _SPLITS:
                return _SPLITS[regex]
        case _:
            pass
    raise UnsupportedArchitecture(
        f"the tokenizer splits text in a way that is not known here ({json.dumps(steps)[:120]})",
        hint="look for a GGUF build of this model",
    )


def _roles(settings: dict[str, Any], folder: ModelFolder, entries: _Entries) -> dict[str, int]:
    """Ids of tokens with a role: by their spelling, else as ``config.json`` numbers them."""
    ids = {token: token_id for token_id, token in entries.by_id.items()}
    found = {}
    for role in _ROLES:
        spelling = settings.get(f"{role}_token")
        if isinstance(spelling, dict):  # an AddedToken, written out
            spelling = spelling.get("content")
        token_id = ids.get(spelling) if isinstance(spelling, str) else None
        if token_id is None:
            token_id = folder.config.get(f"{role}_token_id")
        if isinstance(token_id, list):  # several tokens end an answer: the first one
            token_id = next(iter(token_id), None)
        is_number = isinstance(token_id, int) and not isinstance(token_id, bool)
        if is_number and token_id in entries.by_id:
            found[role] = token_id
    return found


def _ends(tokenizer: dict[str, Any], settings: dict[str, Any]) -> tuple[bool, bool]:
    """Whether a text is opened and closed: as the settings say, else as texts are framed."""
    opens, closes = settings.get("add_bos_token"), settings.get("add_eos_token")
    if not isinstance(opens, bool):
        opens = _opens(tokenizer.get("post_processor"))
    return opens, closes is True


def _opens(processor: Any) -> bool:
    """Whether a template for one text begins with a token."""
    if not isinstance(processor, dict):
        return False
    if processor.get("type") == "Sequence":
        return any(map(_opens, processor.get("processors") or ()))
    single = processor.get("single")
    first = single[0] if isinstance(single, list) and single else None
    return isinstance(first, dict) and "SpecialToken" in first


def _prepends(tokenizer: dict[str, Any]) -> bool:
    """Whether SentencePiece's tokenizer puts a space before a text."""
    return f'"prepend": "{_WORD}"' in json.dumps(
        tokenizer.get("normalizer"), ensure_ascii=False
    ) or '"prepend_scheme": "' in json.dumps(tokenizer.get("pre_tokenizer"))


def _template(settings: dict[str, Any], folder: ModelFolder) -> str | None:
    """The chat template: of a file of its own, else of the settings; of several the default."""
    text = folder.text("chat_template.jinja")
    if text is not None:
        return text
    found = settings.get("chat_template")
    if found is None:
        found = (folder.json("chat_template.json") or {}).get("chat_template")
    if isinstance(found, list):
        named = {one.get("name"): one.get("template") for one in found if isinstance(one, dict)}
        found = named.get("default")
    return found if isinstance(found, str) else None
