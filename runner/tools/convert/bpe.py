"""A vocabulary of byte pairs, as Llama and Qwen have it, in the form that llama.cpp reads.

There are two kinds.  One works on bytes and has a way of splitting text beforehand, which
llama.cpp must know by a name of its own.  The other, older one is SentencePiece's, whose tokens
have scores; what is merged first has the highest.  Source: ``conversion/base.py`` of llama.cpp.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import gguf

from runner.errors import BadModelFile, UnsupportedArchitecture
from runner.tools.convert.folder import ModelFolder
from runner.tools.convert.vocabulary import filled_up

#: How text is split, by the regular expression in ``tokenizer.json``; the name is llama.cpp's.
_SPLITS = {
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+": "llama-bpe",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+": "qwen2",
}
WORD = "\u2581"
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
        """Add the vocabulary's keys; raises as ``write_tokens`` does."""
        self.write_tokens(writer, n_vocab)
        add = {
            "bos": writer.add_bos_token_id,
            "eos": writer.add_eos_token_id,
            "eot": writer.add_eot_token_id,  # beside it, two more that end an answer
            "eom": writer.add_eom_token_id,
            "unk": writer.add_unk_token_id,
            "pad": writer.add_pad_token_id,
        }
        for role, token_id in self.roles.items():
            add[role](token_id)
        writer.add_add_bos_token(self.adds_bos)
        writer.add_add_eos_token(self.adds_eos)
        if self.template is not None:
            writer.add_chat_template(self.template)

    def write_tokens(self, writer: gguf.GGUFWriter, n_vocab: int) -> None:
        """Add all keys but those of roles; raises as ``filled_up`` does."""
        n_more = n_vocab - len(self.tokens)
        writer.add_tokenizer_model("llama" if self.scores else "gpt2")
        writer.add_tokenizer_pre(self.split)
        writer.add_token_list(filled_up(self.tokens, n_vocab))
        if self.scores:
            writer.add_token_scores([*self.scores, *[-10000.0] * n_more])
        writer.add_token_types([*self.kinds, *[_KIND.UNUSED] * n_more])
        if self.merges:
            writer.add_token_merges(list(self.merges))
        writer.add_add_space_prefix(self.adds_space)


def read_bpe(folder: ModelFolder) -> Bpe:
    """Return the vocabulary in ``tokenizer.json``.

    Raises:
        BadModelFile: There is none, or it is damaged.
        UnsupportedArchitecture: It is of another kind, or splits text in a way not known here.
    """
    tokenizer = folder.json("tokenizer.json") or {}
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
    roles = roles_of(settings, folder, entries.by_id)
    opens, closes, roles = _ends(tokenizer, settings, roles, entries.by_id)
    return Bpe(
        tokens=tuple(entries.by_id.get(i) for i in range(entries.n)),
        kinds=tuple(entries.kind(i, is_sentencepiece=is_sentencepiece) for i in range(entries.n)),
        merges=() if is_sentencepiece else tuple(" ".join(map(_joined, pair)) for pair in merges),
        scores=entries.scores(merges) if is_sentencepiece else (),
        split="default" if is_sentencepiece else _split(tokenizer),
        roles=roles,
        adds_bos=opens,
        adds_eos=closes,
        adds_space=is_sentencepiece and prepends_space(tokenizer),
        template=template_of(settings, folder),
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
        self.n = highest_id(self.by_id) + 1

    def kind(self, token_id: int, *, is_sentencepiece: bool) -> gguf.TokenType:
        """What llama.cpp takes a token for."""
        token = self.by_id.get(token_id)
        if token is None:
            return _KIND.UNUSED
        if is_sentencepiece and token == self.model.get("unk_token"):
            return _KIND.UNKNOWN
        if token_id in self.added:
            is_control = self.added[token_id] or looks_special(token)
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


def highest_id(tokens: Mapping[int, str]) -> int:
    """Return the last id; raises ``BadModelFile`` where nearly all before it have no token."""
    last = max(tokens)
    if last > 2 * len(tokens) + 4096:
        raise BadModelFile(f"the ids of {len(tokens)} tokens go up to {last}")
    return last


def looks_special(token: str) -> bool:
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
    if any(step.get("type") == "ByteLevel" and step.get("add_prefix_space") for step in steps):
        kinds = []  # llama.cpp puts no space before a text of bytes
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


def roles_of(
    settings: dict[str, Any], folder: ModelFolder, tokens: Mapping[int, str]
) -> dict[str, int]:
    """Return ids of tokens with a role: by their spelling, else as ``config.json`` numbers them.

    Of several that end an answer, which ``generation_config.json`` tells, two more have a place.
    """
    ids = {token: token_id for token_id, token in tokens.items()}
    found = {}
    for role in _ROLES:
        spelling = settings.get(f"{role}_token")
        if isinstance(spelling, dict):  # an AddedToken, written out
            spelling = spelling.get("content")
        token_id = ids.get(spelling) if isinstance(spelling, str) else None
        numbered = _known(folder.config.get(f"{role}_token_id"), tokens)
        if token_id is not None:
            found[role] = token_id
        elif numbered:
            found[role] = numbered[0]
    ends: list[int] = []
    for config in (folder.config, folder.json("generation_config.json") or {}):
        ends += _known(config.get("eos_token_id"), tokens)
    if ends:
        found.setdefault("eos", ends[0])
    more = [one for one in dict.fromkeys(ends) if one != found["eos"]]
    return found | dict(zip(("eot", "eom"), more, strict=False))


def _known(value: Any, tokens: Mapping[int, str]) -> list[int]:
    """The ids in a setting, which is one id, a list of them, or none."""
    values = value if isinstance(value, list) else [value]
    return [
        one
        for one in values
        if isinstance(one, int) and not isinstance(one, bool) and one in tokens
    ]


def _ends(
    tokenizer: dict[str, Any],
    settings: dict[str, Any],
    roles: dict[str, int],
    tokens: Mapping[int, str],
) -> tuple[bool, bool, dict[str, int]]:
    """Whether a text is opened and closed: as the settings say, else as texts are framed.

    A frame may close texts with another token than answers end with: then that one is ``eos``,
    which llama.cpp appends, and the other one ``eot``, in the roles that are returned.
    """
    opens, closes = settings.get("add_bos_token"), settings.get("add_eos_token")
    first, last = _frame(tokenizer.get("post_processor"))
    if not isinstance(opens, bool):
        opens = first is not None
    if not isinstance(closes, bool):
        end = next((i for i, token in tokens.items() if token == last), None)
        closes = end is not None
        if end is not None and roles.get("eos", end) != end:
            roles = roles | {"eos": end, "eot": roles["eos"]}
        elif end is not None:
            roles = roles | {"eos": end}
    return opens, closes, roles


def _frame(processor: Any) -> tuple[str | None, str | None]:
    """The tokens that a template puts before and after one text."""
    if not isinstance(processor, dict):
        return None, None
    if processor.get("type") == "Sequence":
        frames = [_frame(one) for one in processor.get("processors") or ()]
        return next((one for one in frames if any(one)), (None, None))
    single = processor.get("single")
    if not isinstance(single, list) or len(single) < 2:
        return None, None
    found = [one.get("SpecialToken") if isinstance(one, dict) else None for one in single]
    first, last = (
        one.get("id") if isinstance(one, dict) else None for one in (found[0], found[-1])
    )
    return first, last


def prepends_space(tokenizer: dict[str, Any]) -> bool:
    """Return whether SentencePiece's tokenizer puts a space before a text."""
    found = [tokenizer.get("normalizer"), tokenizer.get("pre_tokenizer")]
    for step in found:  # those of a sequence come behind it
        if isinstance(step, dict):
            found += [*(step.get("normalizers") or ()), *(step.get("pretokenizers") or ())]
    return any(isinstance(step, dict) and _puts_space(step) for step in found)


def _puts_space(step: dict[str, Any]) -> bool:
    match step.get("type"):
        case "Prepend":
            return step.get("prepend") == WORD
        case "Metaspace":  # older ones only say whether
            scheme = step.get("prepend_scheme")
            return step.get("add_prefix_space") is True if scheme is None else scheme != "never"
        case _:
            return False


def template_of(settings: dict[str, Any], folder: ModelFolder) -> str | None:
    """Return the chat template: a file's of its own, else the settings'; of several the default."""
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
