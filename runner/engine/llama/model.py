"""A loaded model and its vocabulary."""

from __future__ import annotations

import ctypes
import re
import unicodedata

import numpy as np

from runner.domain.vectors import Pooling
from runner.engine.backend import EmbeddingFacts, Frame, Infill
from runner.engine.llama.binding import llama_cpp
from runner.engine.llama.params import ModelParams, c_model_params
from runner.engine.pieces import PieceIndex
from runner.engine.wordpiece import WordPiece
from runner.errors import WorkerError

# llama.h, enum llama_token_attr.  These two kinds are what parse_special turns from text to token.
_UNKNOWN, _CONTROL = 1 << 0, 1 << 3
# This kind is always turned from text to token.  Most are words; those spelt so steer the model:
# llama.cpp gives gpt-oss's channel markers this kind, so that they are shown.
_USER_DEFINED = 1 << 4
_STEERING = re.compile(r"<\|[^<>|\s]+\|>")
#: ``enum llama_pooling_type`` in ``llama.h``, as the metadata spells its numbers.
POOLINGS = {
    "0": Pooling.NONE,
    "1": Pooling.MEAN,
    "2": Pooling.CLS,
    "3": Pooling.LAST,
    "4": Pooling.RANK,
}


class Model:
    """Owns a ``llama_model``; ``Vocabulary`` for the rest of the engine."""

    def __init__(self, path: str, params: ModelParams) -> None:
        """Load ``path``.

        Raises:
            WorkerError: llama.cpp refuses the file; its reason is in the log.
        """
        c_params = c_model_params(params)
        if params.shards:
            paths = (ctypes.c_char_p * len(params.shards))(*map(str.encode, params.shards))
            self.handle = llama_cpp.llama_model_load_from_splits(paths, len(paths), c_params)
        else:
            self.handle = llama_cpp.llama_model_load_from_file(path.encode(), c_params)
        if not self.handle:
            raise WorkerError(
                "llama.cpp could not load the model",
                hint="its reason is in the log: corral daemon logs",
            )
        self.vocab = llama_cpp.llama_model_get_vocab(self.handle)
        self.n_vocab = llama_cpp.llama_vocab_n_tokens(self.vocab)
        self.n_ctx_train = llama_cpp.llama_model_n_ctx_train(self.handle)
        self.n_bytes = llama_cpp.llama_model_size(self.handle)
        # Recurrent state and a sliding window do not hold every position: nothing can be cut off.
        self.can_be_cut = not (
            llama_cpp.llama_model_is_recurrent(self.handle)
            or llama_cpp.llama_model_is_hybrid(self.handle)
            or llama_cpp.llama_model_n_swa(self.handle) > 0
        )
        self.embedding = self._embedding()
        self._bos = llama_cpp.llama_vocab_bos(self.vocab)
        self._wants_bos = bool(llama_cpp.llama_vocab_get_add_bos(self.vocab)) and self._bos >= 0
        self.bos_text = self._text(self._bos)
        self.eos_text = self._text(llama_cpp.llama_vocab_eos(self.vocab))
        template = llama_cpp.llama_model_chat_template(self.handle, None)
        self.template = template.decode("utf-8", "replace") if template else ""
        self.infill = self._infill()
        self.control_texts = tuple(filter(None, map(self._control_text, range(self.n_vocab))))
        self.eog_tokens = frozenset(
            token
            for token in range(self.n_vocab)
            if llama_cpp.llama_vocab_is_eog(self.vocab, token)
        )
        self.eog_indices = np.fromiter(self.eog_tokens, dtype=np.intp)
        # BERT takes accents off by decomposing first.  llama.cpp does so too, but knows no Hangul.
        is_bert = llama_cpp.llama_vocab_type(self.vocab) == llama_cpp.LLAMA_VOCAB_TYPE_WPM
        self._decomposes = (
            is_bert and self.metadata("tokenizer.ggml.normalizer.strip_accents") != "false"
        )
        self._word_pieces = self._read_word_pieces() if is_bert else None
        self._pieces: dict[int, bytes] = {}
        self._index: PieceIndex | None = None
        self.frame = self._frame()
        rank_template = llama_cpp.llama_model_chat_template(self.handle, b"rerank")
        self.rank_template = rank_template.decode("utf-8", "replace") if rank_template else ""

    def close(self) -> None:
        """Free the model; its contexts must be closed before."""
        llama_cpp.llama_model_free(self.handle)

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        """Return the tokens of ``text``, without a beginning-of-sequence token."""
        # Lone surrogates cannot come from JSON we accepted, but a template may cut a pair.
        if self._decomposes:
            text = unicodedata.normalize("NFD", text)
        pieces = self._word_pieces
        if pieces is not None and not parse_special and pieces.differs(text):
            return pieces.tokenize(text)
        raw = text.encode("utf-8", "replace")
        n_max = len(raw) + 8
        tokens = (llama_cpp.llama_token * n_max)()
        n = llama_cpp.llama_tokenize(self.vocab, raw, len(raw), tokens, n_max, False, parse_special)
        if n < 0:
            tokens = (llama_cpp.llama_token * -n)()
            n = llama_cpp.llama_tokenize(
                self.vocab, raw, len(raw), tokens, -n, False, parse_special
            )
        if n < 0:
            raise WorkerError(f"llama.cpp could not tokenize {len(raw)} bytes of text")
        return tokens[:n]

    def with_bos(self, tokens: list[int]) -> list[int]:
        """Return ``tokens`` led by the beginning-of-sequence token, where the model wants one."""
        if self._wants_bos and tokens[:1] != [self._bos]:
            return [self._bos, *tokens]
        return tokens

    def piece(self, token: int) -> bytes:
        """Return the bytes of ``token``; kept after the first time."""
        found = self._pieces.get(token)
        if found is None:
            found = self._pieces[token] = self._piece(token, special=False)
        return found

    def piece_index(self) -> PieceIndex:
        """Return the bytes of all tokens, to be searched; made when first asked for."""
        if self._index is None:
            self._index = PieceIndex([self._piece(t, special=False) for t in range(self.n_vocab)])
        return self._index

    def spelling(self, token: int) -> bytes:
        """Return the bytes of ``token``, of a control token those of its name."""
        return self._piece(token, special=True)

    def is_eog(self, token: int) -> bool:
        """Whether a token ends the answer."""
        return token in self.eog_tokens

    def is_control(self, token: int) -> bool:
        """Whether a token steers the model instead of saying something."""
        return bool(self._control_text(token))

    def _infill(self) -> Infill | None:
        vocab = self.vocab
        tokens = (
            llama_cpp.llama_vocab_fim_pre(vocab),
            llama_cpp.llama_vocab_fim_suf(vocab),
            llama_cpp.llama_vocab_fim_mid(vocab),
        )
        return None if min(tokens) < 0 else Infill(*tokens)

    def _read_word_pieces(self) -> WordPiece | None:
        """The vocabulary of a BERT; ``None`` where the file does not name its unknown token."""
        unknown = self.metadata("tokenizer.ggml.unknown_token_id")
        if not unknown.isdigit():
            return None
        ids: dict[str, int] = {}
        for token in range(self.n_vocab):
            if not llama_cpp.llama_vocab_get_attr(self.vocab, token) & (_CONTROL | _UNKNOWN):
                text = llama_cpp.llama_vocab_get_text(self.vocab, token)
                ids.setdefault(text.decode("utf-8", "replace"), token)
        return WordPiece(
            ids,
            int(unknown),
            is_lower=self.metadata("tokenizer.ggml.normalizer.lowercase") != "false",
            strips_accents=self._decomposes,
        )

    def _control_text(self, token: int) -> str:
        """The spelling of a token that people's text must not become; empty for any other."""
        attr = llama_cpp.llama_vocab_get_attr(self.vocab, token)
        if not attr & (_CONTROL | _UNKNOWN | _USER_DEFINED):
            return ""
        text = self._text(token)
        is_word = not attr & (_CONTROL | _UNKNOWN) and not _STEERING.fullmatch(text)
        return "" if is_word else text

    def _frame(self) -> Frame:
        """The tokens around a text; of a pair also those between, as llama-server puts it.

        BERT closes a pair with the separator, too, as its cross-encoders were trained.
        Source: ``format_prompt_rerank`` in llama.cpp's ``tools/server/server-common.cpp``.
        """
        vocab = self.vocab
        buffer = (llama_cpp.llama_token * 8)()
        n = llama_cpp.llama_tokenize(vocab, b"", 0, buffer, len(buffer), True, False)
        around = list(buffer[: max(0, n)])
        n_opening = int(around[:1] == [self._bos])
        between = []
        if llama_cpp.llama_vocab_get_add_eos(vocab):
            between += around[n_opening:]
        if llama_cpp.llama_vocab_get_add_sep(vocab):
            between.append(llama_cpp.llama_vocab_sep(vocab))
        return Frame(tuple(around[:n_opening]), tuple(between), tuple(around[n_opening:]))

    def _embedding(self) -> EmbeddingFacts:
        """What the file says about its vectors."""
        architecture = self.metadata("general.architecture")
        pooling = POOLINGS.get(self.metadata(f"{architecture}.pooling_type"))
        is_causal = self.metadata(f"{architecture}.attention.causal") != "false"
        if pooling is None:
            pooling = Pooling.LAST if is_causal else Pooling.MEAN
        n_dimensions = int(llama_cpp.llama_model_n_embd_out(self.handle))
        return EmbeddingFacts(pooling, n_dimensions, is_causal)

    def metadata(self, key: str) -> str:
        """The value under a key of the file, as llama.cpp prints it; empty when there is none."""
        buffer = ctypes.create_string_buffer(128)
        n = llama_cpp.llama_model_meta_val_str(self.handle, key.encode(), buffer, len(buffer))
        return buffer.value.decode("utf-8", "replace") if n >= 0 else ""

    def _text(self, token: int) -> str:
        """The spelling of a token, control tokens too; empty for no token."""
        return self._piece(token, special=True).decode("utf-8", "replace") if token >= 0 else ""

    def _piece(self, token: int, *, special: bool) -> bytes:
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            n = llama_cpp.llama_token_to_piece(self.vocab, token, buffer, size, 0, special)
            if n >= 0:
                return buffer.raw[:n]
            size = -n
