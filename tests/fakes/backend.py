"""A model without weights: an honest ``Backend`` that watches how its cache is used.

Its next token is a pure function of all tokens before it, so any test can say beforehand what a
sequence must bring, and a cell that was lost, doubled or mixed up changes the text.
"""

from __future__ import annotations

import ast
import hashlib
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence as Seq

import numpy as np

from runner.domain.options import SamplingParams
from runner.domain.vectors import Pooling
from runner.engine.backend import DecodeFailed, EmbeddingFacts, Frame, NoSlot
from runner.engine.chunks import Chunk
from runner.engine.detokenize import Detokenizer
from runner.engine.embed import Piece
from runner.engine.grid import GRID
from runner.engine.pictures import Picture, Seen, stand_ins
from runner.engine.sequence import Adapters
from runner.engine.stop import StopMatcher
from runner.errors import InvalidRequest

#: What the fake says: one token each, some of them parts of a character, so that they go wrong
#: together.
_SPOKEN = [bytes([byte]) for byte in b"abc \n"] + [b"ab", b"END", "é".encode(), b"\xf0\x9f"]
_SPOKEN += [b"\x98\x80", b""]
EOG, CONTROL = 256, 257
_FIRST_SPOKEN = 258
N_VOCAB = _FIRST_SPOKEN + len(_SPOKEN)


class FakeVocabulary:
    """Bytes are tokens 0 to 255; then come the end, one control token and what the fake says."""

    bos_text = ""
    eos_text = "<end>"
    control_texts = ("<end>", "<control>")
    frame = Frame(opening=(CONTROL,), between=(EOG,), closing=(EOG,))
    rank_template = ""
    infill = None

    def __init__(self, template: str = "") -> None:
        self.template = template

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        tokens: list[int] = []
        while text:
            for spelling, token in (("<end>", EOG), ("<control>", CONTROL)):
                if parse_special and text.startswith(spelling):
                    tokens.append(token)
                    text = text[len(spelling) :]
                    break
            else:
                tokens += text[0].encode("utf-8", "replace")
                text = text[1:]
        return tokens

    def with_bos(self, tokens: list[int]) -> list[int]:
        return tokens

    def piece(self, token: int) -> bytes:
        if token < EOG:
            return bytes([token])
        return b"" if token in (EOG, CONTROL) else _SPOKEN[token - _FIRST_SPOKEN]

    def spelling(self, token: int) -> bytes:
        return {EOG: b"<end>", CONTROL: b"<control>"}.get(token) or self.piece(token)

    def is_eog(self, token: int) -> bool:
        return token == EOG


def next_token(tokens: Seq[int], params: SamplingParams, memory: int = 0) -> int:
    """What the fake says after ``tokens``; every 40th token ends the answer.

    With a ``memory``, only the last so many tokens count, so that it soon repeats itself.
    """
    raw = repr((params.seed, list(tokens)[-memory:])).encode()
    number = zlib.crc32(raw)
    if number % 40 == 0 and not params.ignore_eos:
        return EOG
    return _FIRST_SPOKEN + number // 40 % len(_SPOKEN)


def answer(
    tokens: Seq[int],
    params: SamplingParams,
    *,
    n_limit: int,
    stop: Iterable[str] = (),
    memory: int = 0,
) -> tuple[str, list[int], str | None]:
    """Text, all tokens and stop string of a whole answer, computed without any engine."""
    vocabulary = FakeVocabulary()
    known = list(tokens)
    raw = b""
    stops = tuple(stop)
    while len(known) < n_limit:
        token = next_token(known, params, memory)
        known.append(token)
        raw += vocabulary.piece(token)
        matcher = StopMatcher(stops)
        text = matcher.feed(Detokenizer().feed(raw))
        if matcher.hit is not None:
            return text, known, matcher.hit
        if token == EOG:
            break
    return Detokenizer().feed(raw), known, None


class FakeSampler:
    """Draws what ``next_token`` says, once for each row that was asked for."""

    def __init__(self, backend: FakeBackend, params: SamplingParams) -> None:
        self._backend = backend
        self._params = params
        self._is_closed = False

    forced = ()
    is_complete = False
    logprob = None

    def draw(self, row: int) -> int:
        assert not self._is_closed, "a closed sampler drew"
        if not self._backend.is_sound(row):
            raise ValueError("the model computed NaN, which is no number")
        return next_token(self._backend.take_row(row), self._params, self._backend.memory)

    def close(self) -> None:
        assert not self._is_closed, "a sampler was closed twice"
        self._is_closed = True
        self._backend.count_sampler(-1)


class FakeEyes:
    """Sees as many tokens in a file as its first byte says, one bracket around them, and no more.

    A file that is empty is none.
    """

    def look(self, content: bytes) -> Seen:
        if not content:
            raise InvalidRequest("no picture", hint="send one")
        n = content[0]
        digest = hashlib.sha256(content).digest()
        picture = Picture(1, n, n, handle=content)
        return Seen((ord("["), *stand_ins(digest, 0, n), ord("]")), (picture,))


#: How the fake embeds unless told otherwise.
CAUSAL = EmbeddingFacts(Pooling.LAST, 4, is_causal=True)


class FakeEmbedder:
    """Each token's vector is a pure function of the tokens before it, or of all, and of itself.

    It refuses, with ``AssertionError``, pieces that do not follow each other, and texts cut in two
    where the model must see them whole.
    """

    n_batch, n_step, n_seq_max = 32, 16, 4

    def __init__(self, facts: EmbeddingFacts, faults: Iterator[type[Exception] | None]) -> None:
        self._facts = facts
        self._faults = faults
        self._cells: dict[int, list[int]] = {}
        self.steps: list[list[int]] = []

    def compute(self, pieces: Seq[Piece]) -> list[np.ndarray]:
        self.steps.append([piece.n for piece in pieces])
        assert len(pieces) <= self.n_seq_max
        assert sum(piece.n for piece in pieces) <= self.n_batch
        ids = [piece.item.seq_id for piece in pieces]
        assert len(set(ids)) == len(ids)
        if fault := next(self._faults, None):
            raise fault("injected")
        return [self._vectors(piece) for piece in pieces]

    def _vectors(self, piece: Piece) -> np.ndarray:
        tokens = piece.item.tokens[piece.start : piece.start + piece.n]
        if not self._facts.is_causal or self._facts.pooling is Pooling.RANK:
            assert piece.n == len(piece.item.tokens), "an encoder sees a text as a whole"
        held = self._cells.setdefault(piece.item.seq_id, [])
        assert len(held) == piece.start, "cells of another text, or a gap"
        held += tokens
        if self._facts.pooling is Pooling.RANK:
            return np.array([[float(sum(held))]], np.float32)
        return token_vectors(held, self._facts)[piece.start :]

    def free(self, seq_id: int) -> None:
        self._cells.pop(seq_id, None)

    def clear(self) -> None:
        self._cells.clear()

    def check_empty(self) -> None:
        assert not self._cells


def token_vectors(tokens: Seq[int], facts: EmbeddingFacts) -> np.ndarray:
    """What the fake says of each token of a text."""
    rows = []
    for end in range(1, len(tokens) + 1):
        seen = tokens[:end] if facts.is_causal else tokens
        number = zlib.crc32(repr((list(seen), tokens[end - 1])).encode())
        rows.append([(number >> 8 * axis & 255) - 128 for axis in range(facts.n_dimensions)])
    return np.array(rows, np.float32)


class Cell:
    """One cell of the cache; sequences that share it have the same object."""

    def __init__(self, token: int, adapters: Adapters) -> None:
        self.token = token
        self.adapters = adapters  # it was computed with


class FakeBackend:
    """Refuses, with ``AssertionError``, whatever llama.cpp would answer with nonsense.

    Args:
        faults: For each decode in turn, the error it raises, or ``None``.
        memory: Tokens that say what comes next; 0: all.
        before_decode: Called at the beginning of every decode, with its chunks.
        can_be_cut: Whether a saved state serves fewer tokens than it has, without a mark.

    Attributes:
        unsound: Requests whose logits are no numbers.
        n_decodes: Calls of ``decode``, failed ones included.
        n_open_samplers: Samplers made and not closed.
        n_shared: Steps that computed more than one sequence.
        n_refused: Steps that did not fit into the cells.
        n_computed: Tokens computed in all steps, those of pictures included.
        n_seen: Pictures computed.
    """

    def __init__(
        self,
        *,
        n_ctx: int = 64,
        n_cells: int = 128,
        n_batch: int = 16,
        n_seq_max: int = 4,
        n_cold_max: int = 0,
        can_be_cut: bool = True,
        memory: int = 0,
        faults: Iterable[type[Exception] | None] = (),
        before_decode: Callable[[Seq[Chunk]], None] = lambda _: None,
        embedding: EmbeddingFacts = CAUSAL,
        n_adapters: int = 0,
        eyes: FakeEyes | None = None,
    ) -> None:
        self.eyes = eyes
        self.n_adapters = n_adapters
        self.n_ctx, self.n_cells = n_ctx, n_cells
        self.n_batch, self.n_seq_max = n_batch, n_seq_max
        self.n_vocab = N_VOCAB
        self.n_cold_max = n_cold_max
        self.native_s = 0.0
        self.unsound: set[str] = set()
        self._can_be_cut = can_be_cut
        self.memory = memory
        self._deterministic: FakeBackend | None = None
        self.n_computed = self.n_seen = 0
        self.n_decodes = self.n_open_samplers = self.n_shared = self.n_refused = 0
        self._faults: Iterator[type[Exception] | None] = iter(faults)
        self._before_decode = before_decode
        self.embedding = embedding
        self.vectors = FakeEmbedder(embedding, self._faults)
        self._cells: dict[int, list[Cell]] = {}
        self._rows: dict[int, list[int]] = {}
        self._is_lost = False
        self._lock = threading.Lock()

    def see(self, chunk: Chunk, picture: Picture) -> None:
        seq = chunk.seq
        assert seq.pictures
        assert (chunk.start, chunk.n, chunk.draw) == (picture.start, picture.n, False)
        self.n_seen += 1
        self._decode([chunk])

    def decode(self, chunks: Seq[Chunk]) -> list[int]:
        for chunk in chunks:
            tokens = chunk.seq.tokens[chunk.start : chunk.start + chunk.n_sure]
            assert min(tokens, default=0) >= 0, "a picture is no token"
        assert sum(chunk.n for chunk in chunks) <= self.n_batch
        return self._decode(chunks)

    def _decode(self, chunks: Seq[Chunk]) -> list[int]:
        self.n_decodes += 1
        self._before_decode(chunks)
        self._rows = {}
        self._bad_rows: set[int] = set()
        assert not self._is_lost, "after a failed step the cache must be cleared"
        assert chunks, "an empty step"
        assert len({chunk.seq.seq_id for chunk in chunks}) == len(chunks), "a seq_id twice"
        assert len({chunk.seq.adapters for chunk in chunks}) == 1, "a step has one set of adapters"
        fault = next(self._faults, None)
        if fault and issubclass(fault, DecodeFailed):
            self._is_lost = True
            raise fault("injected")
        n_used = self.n_used()
        if n_used + sum(chunk.n for chunk in chunks) > self.n_cells:
            self.n_refused += 1
            raise NoSlot
        if fault is not None:
            raise fault
        self.n_shared += len(chunks) > 1
        return self._compute(chunks)

    def embedder(self) -> FakeEmbedder:
        return self.vectors

    def _compute(self, chunks: Seq[Chunk]) -> list[int]:
        last_rows, row = [], -1
        for chunk in chunks:
            seq = chunk.seq
            self._check(seq.seq_id)
            assert chunk.n > 0
            held = self._cells.setdefault(seq.seq_id, [])
            assert chunk.start == len(held), "positions must follow each other"
            assert not chunk.guess or chunk.draw, "a guess in the middle of a prompt"
            new = (*seq.tokens[chunk.start : chunk.start + chunk.n_sure], *chunk.guess)
            held += (Cell(token, seq.adapters) for token in new)
            assert {cell.adapters for cell in held} == {seq.adapters}, "cells of other adapters"
            self.n_computed += chunk.n
            assert len(held) < self.n_ctx, "the last token of a full context is never computed"
            row += chunk.n
            last_rows.append(row)
            if chunk.draw and seq.request_id in self.unsound:
                self._bad_rows.add(row)
            for i in range(len(chunk.guess) + 1 if chunk.draw else 0):
                self._rows[row - i] = [cell.token for cell in held[: len(held) - i]]
        return last_rows

    def take_row(self, row: int) -> list[int]:
        """The tokens that row's logits come from; each is drawn from once."""
        return self._rows.pop(row)

    def use_threads(self, n: int) -> None:
        self.n_threads = n

    def is_sound(self, row: int) -> bool:
        return row not in self._bad_rows

    def deterministic(self) -> FakeBackend:
        with self._lock:
            if self._deterministic is None:
                self._deterministic = FakeBackend(
                    n_ctx=self.n_ctx,
                    n_cells=self.n_ctx,
                    n_batch=GRID,
                    n_seq_max=1,
                    n_cold_max=self.n_cold_max,
                    n_adapters=self.n_adapters,
                )
            return self._deterministic

    def new_sampler(
        self,
        params: SamplingParams,
        prompt: list[int],
        *,
        constraint=None,
        n_logprobs=None,
        budget=None,
    ) -> FakeSampler:
        assert prompt
        assert budget is None, "the fake knows no thoughts"
        assert constraint is None, "the fake knows no constraint"
        assert n_logprobs is None, "the fake knows no probabilities"
        self.count_sampler(1)
        return FakeSampler(self, params)

    def count_sampler(self, n: int) -> None:
        with self._lock:  # made on one thread, closed on another
            self.n_open_samplers += n

    def free(self, seq_id: int) -> None:
        self._check(seq_id)
        self._cells.pop(seq_id, None)

    def share(self, source: int, target: int, n: int) -> None:
        self._check(source)
        self._check(target)
        assert target not in self._cells, "a sequence that shares must be empty"
        assert 0 < n <= len(self._cells[source]), "cells that are not there"
        self._cells[target] = self._cells[source][:n]

    def cut(self, seq_id: int, n: int) -> None:
        self._check(seq_id)
        assert n == 0 or self.n_cold_max, "this state cannot be cut"
        assert n <= len(self._cells.get(seq_id, ())), "cells that are not there"
        held = self._cells.pop(seq_id, [])
        if n:
            self._cells[seq_id] = held[:n]

    def save(self, seq_id: int, *, partial: bool = False) -> bytes:
        held = self._cells[seq_id]
        return repr(([cell.token for cell in held], held[0].adapters)).encode()

    def restore(self, seq_id: int, blob: bytes, n: int, mark: bytes = b"") -> bool:
        self._check(seq_id)
        assert seq_id not in self._cells, "a sequence that is restored must be empty"
        tokens, adapters = ast.literal_eval(blob.decode())
        assert 0 < n <= len(tokens)
        if mark:
            assert ast.literal_eval(mark.decode()) == (tokens[:n], adapters), (
                "a mark of another text"
            )
        else:
            assert self._can_be_cut or n == len(tokens), "this state cannot be cut"
        if self.n_used() + len(tokens) > self.n_cells:
            return False
        self._cells[seq_id] = [Cell(token, adapters) for token in tokens[:n]]
        return True

    def n_used(self) -> int:
        """Cells in use, shared ones counted once."""
        return len({cell for cells in self._cells.values() for cell in cells})

    def _check(self, seq_id: int) -> None:
        assert 0 <= seq_id < self.n_seq_max + self.n_cold_max

    def clear(self) -> None:
        self._cells.clear()
        self._is_lost = False

    def check_empty(self) -> None:
        """Assert that nothing is left of any sequence, but for what may be shared later."""
        assert len(self._cells) <= self.n_cold_max
        assert self.n_open_samplers == 0
