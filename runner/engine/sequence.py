"""One request inside the engine: its tokens, its place in the cache, its limits, its text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence as Seq
from dataclasses import dataclass, field
from typing import Protocol

from runner.domain.cache import Hit
from runner.domain.event import FinishReason, TokenLogprob
from runner.domain.request import CacheUse, Terms
from runner.engine.detokenize import Detokenizer
from runner.engine.draft import Drafter
from runner.engine.logprobs import HeldLogprobs
from runner.engine.marks import HeldMarks
from runner.engine.pictures import Picture, next_of, position
from runner.engine.stop import StopMatcher
from runner.engine.told import N_STEP, Told

#: Most tokens that are taken without being drawn at a time: a step computes them beside those of
#: all others.
MAX_FORCED = 16


class Thoughts(Protocol):
    """Counts what an answer thinks.

    Attributes:
        n_thought: Tokens of thoughts so far.
        is_bound: Whether the sampler feeds it, which heeds it.
    """

    n_thought: int
    is_bound: bool

    def take(self, token: int) -> None:
        """Go on after ``token``."""
        ...


class Sampler(Protocol):
    """Draws tokens for one sequence."""

    @property
    def forced(self) -> Seq[int]:
        """Tokens that can only follow the one drawn last; they are taken without being drawn."""
        ...

    @property
    def is_complete(self) -> bool:
        """Whether nothing can follow what was drawn and forced."""
        ...

    @property
    def logprob(self) -> TokenLogprob | None:
        """What the model thought of the token drawn last; ``None`` when nobody asked."""
        ...

    def draw(self, row: int) -> int:
        """Return the next token from the logits of batch row ``row``, and remember it.

        Raises:
            CorralError: What the request asks of its answer leaves no token.
        """
        ...

    def foretell(self, row: int, token: int) -> TokenLogprob:
        """Return what the logits of batch row ``row`` say of ``token``; where logprobs are wanted.

        To be asked before ``draw``, which may change them.
        """
        ...

    def close(self) -> None:
        """Free what it holds; called once."""
        ...


#: LoRA adapters that a sequence is computed with: the index of each and its scale, by index.
Adapters = tuple[tuple[int, float], ...]


@dataclass(slots=True, eq=False)
class Account:
    """What one client of one class has had and has; ``queue.py`` keeps and reads it.

    Attributes:
        n_served: Tokens computed for it, set forward when it comes back after a pause.
        n_live: Its sequences that have not ended.
    """

    n_served: int = 0
    n_live: int = 0


@dataclass(slots=True, eq=False)
class Sequence:
    """Mutable state of one request; changed by the loop thread only.

    Attributes:
        request_id: The daemon's name for it.
        tokens: Prompt, then what was drawn or forced.
        n_prompt: How many of ``tokens`` are the prompt.
        n_limit: Most tokens in all; reaching it ends the sequence with ``length``.
        sampler: Draws its tokens.
        detokenizer: Turns them into text.
        stop: Watches the text for stop strings.
        logprobs: Keeps log probabilities back with their text; ``None``: nobody asked for them.
        told: Gathers those of the prompt; ``None``: nobody asked for them.
        thoughts: Counts those; ``None``: the model has none.
        tells_progress: Whether its news shall say how far it is.
        wants_tokens: Whether the end shall carry all tokens.
        may_share: Whether it may begin with cells that were not computed for it.
        terms: Its class, its client and the like.
        owner_id: Whose prompts it may share.
        cache: Where its state may come from and be kept.
        is_deterministic: Whether ``grid.py`` runs it.
        n_keep: Tokens at the beginning that stay when the context is full and the oldest half of
            the others goes; ``None``: a full context ends it.
        n_draw_max: Most tokens drawn, where ``n_keep`` is set.
        n_shifted: Tokens that went.
        n_dropped: Turns that were left out of its prompt.
        halts: Numbers of computed tokens, ascending, that a step must stop at, to be marked.
        n_last: Tokens that came together last: one drawn and those it forced.
        tail: The last characters of its rendered prompt; empty for a raw one.
        kept: Text of control tokens that shall not vanish from the answer.
        marks: Keeps with the text where these stand; ``None``: there are none.
        adapters: What it is computed with beside the model; shares steps and cells with its like.
        has_own_adapters: Whether these are those that the model has by itself; what is kept
            outside of the cache is computed with them.
        seq_id: Its llama.cpp sequence while it runs, else -1.
        n_computed: Tokens of ``tokens`` that are in the cache.
        n_cached: Of its prompt, how many it did not have to compute; ``None`` before it began.
        hit: Where they came from.
        is_from_disk: Whether the disk had more of it than memory.
        started_s: When its first step began, on the loop's clock; 0 before.
        first_token_s: When its first token was drawn; 0 before.
        n_alike: Of its prompt, how many the stored text most like it begins with; 0: none is.
        arrival: Its number in the order of arrival.
        rank: Its class as a number, 0 goes first.
        account: Its client's; ``None`` before it was queued.
        n_overtaken: Later ones that were let in while it was the first its client had waiting.
        n_preempted: How often it had to give way.
        drafter: Guesses its tokens; ``None``: nobody does.
        guess: Guessed tokens that are in the cache after the computed ones, within a step.
        saved: The state of its cells while it gives way; empty: to be computed again.
        n_saved: Tokens that ``saved`` stands for.
        pictures: The pictures in its prompt, in order; what stands for them is in ``tokens``.
        cells_key: Among whose cells its own are found: with ``cache: none`` nobody else's.
    """

    request_id: str
    tokens: list[int]
    n_prompt: int
    n_limit: int
    sampler: Sampler
    detokenizer: Detokenizer
    stop: StopMatcher = field(default_factory=StopMatcher)
    logprobs: HeldLogprobs | None = None
    told: Told | None = None
    thoughts: Thoughts | None = None
    tells_progress: bool = False
    wants_tokens: bool = False
    may_share: bool = True
    terms: Terms = field(default_factory=Terms)
    owner_id: str = ""
    cache: CacheUse = CacheUse.DISK
    is_deterministic: bool = False
    n_keep: int | None = None
    n_draw_max: int = 0
    n_shifted: int = 0
    n_dropped: int = 0
    halts: list[int] = field(default_factory=list)
    n_last: int = 1
    tail: str = ""
    kept: Mapping[int, bytes] = field(default_factory=dict)
    marks: HeldMarks | None = None
    adapters: Adapters = ()
    has_own_adapters: bool = True
    seq_id: int = -1
    n_computed: int = 0
    n_cached: int | None = None
    hit: Hit = Hit.CONTEXT
    is_from_disk: bool = False
    started_s: float = 0.0
    first_token_s: float = 0.0
    n_alike: int = 0
    arrival: int = 0
    rank: int = 0
    account: Account | None = None
    n_overtaken: int = 0
    n_preempted: int = 0
    drafter: Drafter | None = None
    guess: tuple[int, ...] = ()
    saved: bytes = b""
    n_saved: int = 0
    pictures: tuple[Picture, ...] = ()
    cells_key: tuple[str, Adapters] = field(init=False)

    def __post_init__(self) -> None:
        is_alone = self.cache is CacheUse.NONE
        whose = f"\0{self.request_id}" if is_alone else self.owner_id
        self.cells_key = whose, self.adapters

    @property
    def uses_tiers(self) -> bool:
        """Whether its state may come from outside of the cache, and be kept there.

        Nothing with a picture in it is kept there.
        """
        return self.may_share and self.has_own_adapters and not self.pictures

    @property
    def uses_checkpoints(self) -> bool:
        """Whether its state may come from one that cannot be cut, and be kept as such.

        Where pictures bend positions, these would not be those of its tokens.
        """
        is_straight = all(picture.n == picture.n_positions for picture in self.pictures)
        return self.may_share and self.has_own_adapters and is_straight

    @property
    def keeps(self) -> CacheUse:
        """Where its state may be kept once it has left the cache."""
        return self.cache if self.has_own_adapters and not self.pictures else CacheUse.NONE

    @property
    def controls(self) -> tuple[str, ...]:
        """The text of each token in ``kept``."""
        return tuple(text.decode() for text in self.kept.values())

    @property
    def n_pending(self) -> int:
        """Tokens that are not in the cache yet; at least 1 while it lives."""
        return len(self.tokens) - self.n_computed

    @property
    def n_generated(self) -> int:
        """Tokens drawn so far."""
        return len(self.tokens) + self.n_shifted - self.n_prompt

    @property
    def n_until_halt(self) -> int:
        """Most tokens that the next step may compute."""
        n = self.halts[0] - self.n_computed if self.halts else self.n_pending
        if self.pictures and (picture := next_of(self.pictures, self.n_computed)):
            n = min(n, picture.start - self.n_computed)
        return min(n, N_STEP) if self.is_telling else n

    @property
    def picture(self) -> Picture | None:
        """The picture that is to be computed next; ``None``: a token is."""
        picture = next_of(self.pictures, self.n_computed) if self.pictures else None
        return picture if picture and picture.start == self.n_computed else None

    def position(self, index: int) -> int:
        """Return the position of token ``index``, which is in no picture but may begin one."""
        return position(self.pictures, index) if self.pictures else index

    @property
    def is_telling(self) -> bool:
        """Whether logits of all tokens are wanted, not of the last alone."""
        return self.told is not None and self.told.is_due

    @property
    def is_full(self) -> bool:
        """Whether it can only go on after a ``shift``."""
        return self.n_keep is not None and len(self.tokens) >= self.n_limit

    def shift(self) -> None:
        """Drop the oldest half of what need not stay; the rest is to be computed as if new."""
        assert self.n_keep is not None
        n = max(1, (len(self.tokens) - self.n_keep) // 2)
        del self.tokens[self.n_keep : self.n_keep + n]
        self.n_shifted += n
        self.n_computed = 0

    @property
    def is_streaming(self) -> bool:
        """Whether nothing is to be computed but what came last, so that a step brings a token."""
        return self.n_pending <= self.n_last

    def take(
        self,
        token: int,
        piece: bytes,
        *,
        is_eog: bool,
        is_last: bool = False,
        logprob: TokenLogprob | None = None,
    ) -> tuple[str, FinishReason | None]:
        """Add a token; return the text now certain, and why the sequence ends, if it does.

        Text that may still become a stop string is held back until it cannot, or the end.

        Args:
            token: Drawn or forced.
            piece: Its bytes.
            is_eog: Whether it ends the answer and says nothing itself.
            is_last: Whether nothing can follow it.
            logprob: What the model thought of it.
        """
        self.tokens.append(token)
        if is_eog:
            return self.stop.flush(), FinishReason.STOP
        if self.thoughts is not None and not self.thoughts.is_bound:
            self.thoughts.take(token)
        kept = self.kept.get(token, b"")
        new = self.detokenizer.feed(piece or kept)
        if self.marks is not None:
            self.marks.add(len(new), len(kept.decode()))
        if self.logprobs is not None:
            self.logprobs.add(logprob, len(new))
        text = self.stop.feed(new)
        if self.stop.hit is not None:
            return text, FinishReason.STOP
        if is_last:
            return text + self.stop.flush(), FinishReason.STOP
        if self._is_long_enough:
            return text + self.stop.flush(), FinishReason.LENGTH
        return text, None

    @property
    def _is_long_enough(self) -> bool:
        if self.n_keep is not None:
            return self.n_generated >= self.n_draw_max
        return len(self.tokens) >= self.n_limit
