"""What the daemon and a worker process say to each other.

Down the pipe go ``Load``, ``Generate``, ``Embed``, ``Rerank``, ``Abort``, ``Tokenize``,
``Detokenize``, ``Render``, ``Inspect``, ``AskCache``, ``ClearCache``, ``UseThreads`` and
``Shutdown``; up come ``Loading``, ``Loaded``, ``Started``, ``Step``, ``Embedded``, ``Tokenized``,
``Inspected``, ``CacheState`` and ``Failed``.  Two promises bind the sides, and the tests of both
check them:

1. every ``request_id`` sent down comes back exactly once as an ending: a ``Delta`` with a
   ``finish``, a ``Loaded``, an ``Embedded``, a ``Tokenized``, an ``Inspected``, a ``CacheState`` or
   a ``Failed``;
2. once it has ended, no later message names it.

Closing the pipe ends the worker at once, whatever it is doing; after a ``Shutdown`` it first
writes the prompts that are worth it to disk, for at most ``FLUSH_S``.
"""

from __future__ import annotations

from msgspec import Struct

from runner.domain.cache import Hit
from runner.domain.chat import Message as ChatMessage, Tool
from runner.domain.event import FinishReason, PromptToken, TokenLogprob
from runner.domain.options import SamplingParams, Speculate
from runner.domain.request import AdapterUse, Constraint, Terms, Think, ThoughtBound
from runner.domain.running import RequestState
from runner.domain.vectors import Pooling
from runner.protocol.failed import Failed as Failed
from runner.protocol.load import (  # the first messages of a worker's life, with the others
    Load as Load,
    Loaded as Loaded,
    Loading as Loading,
    Placed as Placed,
    Remote as Remote,
)
from runner.protocol.tasks import Moment, Result, Task

#: Tokens at the beginning that stay when a full context loses others; Ollama's own default.
DEFAULT_KEEP = 4

#: Seconds that a worker may go on writing prompts to disk after ``Shutdown``.
FLUSH_S = 2.0


#: How a worker's last line on stderr begins when a device of another machine was lost; its address
#: follows.
LOST_DEVICE = "lost the device "


class Generate(Struct, frozen=True, tag=True):
    """Start one sequence; exactly one of ``messages`` and ``prompt``.

    Attributes:
        request_id: Unique in this worker's life.
        messages: Rendered in the worker by the model's own template.
        prompt: Raw text; control tokens in it are parsed, unless there is a ``suffix``.
        suffix: Text that follows the answer: the model's tokens for filling in the middle stand
            around both.
        context: Tokens before the prompt.
        n_ctx: Most tokens of this sequence; the worker's own limit caps it.
        max_tokens: Most tokens drawn; ``None``: until the context is full.
        wants_tokens: Whether the last ``Delta`` shall carry all tokens.
        terms: How the engine is to treat it; its deadline counts from here.
        tools: For the template.
        think: For the template.
        thoughts: How they are told from the answer, and how much of it they may be; ``None``: there
            are none.
        template: In place of the model's own; ``None``: the model's own.
        keeps_control: Control tokens whose text stays in the answer, for who parses it there;
            all others vanish.
        constraint: What the answer must look like.
        n_logprobs: Most likely tokens to tell at each place; ``None``: none.
        tells_prompt: Whether to tell the same of the prompt's tokens.
        tells_progress: Whether deltas carry ``at``, and come for parts of the prompt, too.
        shifts: When the context is full, the oldest tokens go and the answer goes on.
        truncates: A conversation that does not fit loses its oldest turns.
        n_keep: Tokens at the beginning that stay when others go; negative: the whole prompt.
        adapters: LoRA adapters to answer with; ``None``: all that were loaded, at full scale.
        speculate: Whether tokens are guessed and checked several at a time: where it pays, always,
            or never.
        n_draft_max: Most tokens guessed at a time; ``None``: as many as are good.
    """

    request_id: str
    sampling: SamplingParams
    messages: tuple[ChatMessage, ...] | None = None
    prompt: str | None = None
    suffix: str = ""
    context: tuple[int, ...] = ()
    stop: tuple[str, ...] = ()
    n_ctx: int = 0
    max_tokens: int | None = None
    wants_tokens: bool = False
    terms: Terms = Terms()
    tools: tuple[Tool, ...] = ()
    think: Think = None
    thoughts: ThoughtBound | None = None
    template: str | None = None
    keeps_control: tuple[str, ...] = ()
    constraint: Constraint | None = None
    n_logprobs: int | None = None
    tells_prompt: bool = False
    tells_progress: bool = False
    shifts: bool = False
    truncates: bool = False
    n_keep: int = DEFAULT_KEEP
    adapters: tuple[AdapterUse, ...] | None = None
    speculate: Speculate = "off"
    n_draft_max: int | None = None


class Embed(Struct, frozen=True, tag=True):
    """Turn texts into vectors; the answer is one ``Embedded``.

    Attributes:
        request_id: Unique in this worker's life.
        inputs: Texts, to which the model's own opening and closing tokens are added; or tokens,
            which are taken as they are.
        n_ctx: Most tokens of an input; the worker's own limit caps it; 0: that limit.
        n_dimensions: Numbers to keep of each vector; ``None``: all.
        truncates: Whether a longer input is cut, or fails the request.
        normalizes: Whether each vector is scaled to length 1, after it was cut.
        pooling: In place of what the model's file says.
        terms: How the engine is to treat it.
    """

    request_id: str
    inputs: tuple[str | tuple[int, ...], ...]
    n_ctx: int = 0
    n_dimensions: int | None = None
    truncates: bool = True
    normalizes: bool = True
    pooling: Pooling | None = None
    terms: Terms = Terms()


class Rerank(Struct, frozen=True, tag=True):
    """Score documents against a query; each score is a vector of one in ``Embedded``."""

    request_id: str
    query: str
    documents: tuple[str, ...]
    n_ctx: int = 0
    truncates: bool = True
    terms: Terms = Terms()


class Abort(Struct, frozen=True, tag=True):
    """Give up a request; it ends with ``aborted``, or ``Failed``, unless it has ended already."""

    request_id: str


class Tokenize(Struct, frozen=True, tag=True):
    """Ask for the tokens of a text; control tokens in it are parsed when ``parse_special``."""

    request_id: str
    text: str
    parse_special: bool = False


class Detokenize(Struct, frozen=True, tag=True):
    """Ask for the text of tokens, that of control tokens included."""

    request_id: str
    tokens: tuple[int, ...]


class Render(Struct, frozen=True, tag=True):
    """Ask for the prompt that ``generate`` would begin with; nothing is generated."""

    request_id: str
    generate: Generate


class Inspect(Struct, frozen=True, tag=True):
    """Ask where each request stands; answered between two steps."""

    request_id: str


class AskCache(Struct, frozen=True, tag=True):
    """Ask what memory holds of prompts."""

    request_id: str


class ClearCache(Struct, frozen=True, tag=True):
    """Forget prompts that nothing runs with; answered as ``AskCache``, once they are gone.

    Attributes:
        request_id: Comes back in ``CacheState``.
        owner_id: Whose; ``None``: everybody's.
        keeps: Whether prompts may be kept from here on; ``False`` before a model is deleted.
        conversation_id: Of which conversation; ``None``: of all.
    """

    request_id: str
    owner_id: str | None = None
    keeps: bool = True
    conversation_id: str | None = None


class UseThreads(Struct, frozen=True, tag=True):
    """Compute with so many threads from the next step on."""

    n: int


class Shutdown(Struct, frozen=True, tag=True):
    """End; what is running is aborted."""


class Started(Struct, frozen=True, tag=True):
    """The sequence begins to be computed; precedes the first delta.

    Attributes:
        request_id: Which.
        n_prompt: Tokens of its prompt.
        n_cached: Of them, not to be computed.
        n_diverged: Where it first differs from the stored text most like it; ``None``: from none.
        n_dropped: Turns left out so that the conversation fits.
        tail: The last characters of the rendered prompt: it may have opened a block of thinking.
        hit: Where the tokens came from that are not to be computed.
        controls: Those texts of ``Generate.keeps_control`` that are one token of this model: only
            where ``Delta.marks`` says so, they are that token.
    """

    request_id: str
    n_prompt: int
    n_cached: int
    n_diverged: int | None = None
    n_dropped: int = 0
    tail: str = ""
    hit: Hit = Hit.NONE
    controls: tuple[str, ...] = ()


class Outcome(Struct, frozen=True):
    """How a sequence ended.

    Attributes:
        reason: Why.
        n_generated: Tokens drawn.
        prompt_s: From its first step to its first token.
        decode_s: From its first token to its last.
        stop: The stop string that ended it.
        tokens: Prompt and answer, when asked for.
        n_shifted: Tokens that left the context so that the answer could go on.
        n_drafted: Tokens that were guessed beforehand.
        n_accepted: Of them, those that were right.
        n_thought: Of the tokens drawn, those of thoughts.
    """

    reason: FinishReason
    n_generated: int
    prompt_s: float
    decode_s: float
    stop: str | None = None
    tokens: tuple[int, ...] = ()
    n_shifted: int = 0
    n_drafted: int = 0
    n_accepted: int = 0
    n_thought: int = 0


class Progress(Struct, frozen=True, array_like=True):
    """How far a sequence is; as ``domain.event.Reached`` has it."""

    n_computed: int
    n_generated: int
    prompt_s: float
    decode_s: float


class Delta(Struct, frozen=True, array_like=True):
    """New text of one sequence, whole characters; may be empty when it ends.

    ``marks``: the characters of ``text`` at which a kept control token begins, ascending.
    ``prompt``: all tokens of the prompt, once and before any text, where they are to be told.
    ``at``: how far it is, where that is to be told.
    """

    request_id: str
    text: str
    finish: Outcome | None = None
    logprobs: tuple[TokenLogprob, ...] = ()
    marks: tuple[int, ...] = ()
    prompt: tuple[PromptToken, ...] = ()
    at: Progress | None = None


class Step(Struct, frozen=True, tag=True):
    """All output of one decode step: one message a step, not one a token.

    Attributes:
        deltas: Sequences with something to say; those that hold text back are left out.
        n_steps: Decode steps since the model was loaded.
        n_tokens: Tokens computed since then.
        n_host_us: Microseconds that those steps took outside llama.cpp's decode call.
    """

    deltas: tuple[Delta, ...]
    n_steps: int
    n_tokens: int
    n_host_us: int = 0


class Embedded(Struct, frozen=True, tag=True):
    """The answer to ``Embed`` and to ``Rerank``.

    Attributes:
        request_id: Which.
        vectors: One item an input, as ``domain.vectors.Embeddings`` has them.
        n_dimensions: Numbers in a vector.
        n_tokens: Tokens of each input.
        truncated: Inputs that were cut, by their index.
        compute_s: From its first step to its last.
        is_pooled: Whether each item is one vector.
    """

    request_id: str
    vectors: tuple[bytes, ...]
    n_dimensions: int
    n_tokens: tuple[int, ...]
    truncated: tuple[int, ...]
    compute_s: float
    is_pooled: bool = True


class Tokenized(Struct, frozen=True, tag=True):
    """The answer to ``Tokenize``, ``Detokenize`` and ``Render``.

    ``text`` is what the tokens stand for, of a ``Render`` the prompt as it was rendered.
    """

    request_id: str
    tokens: tuple[int, ...]
    text: str = ""


class Place(Struct, frozen=True, array_like=True):
    """Where a request stands.

    Attributes:
        request_id: Which.
        state: How far it is.
        position: 1 for the one that is next to begin, and so on; 0 when it runs.
        n_prompt: Tokens of its prompt.
        n_cached: Of them, not computed for it.
        n_generated: Tokens drawn so far.
    """

    request_id: str
    state: RequestState
    position: int
    n_prompt: int
    n_cached: int
    n_generated: int


class Inspected(Struct, frozen=True, tag=True):
    """The answer to ``Inspect``: all requests whose prompt is prepared and that have not ended."""

    request_id: str
    places: tuple[Place, ...]


class StoredPrompt(Struct, frozen=True, array_like=True):
    """A prompt's state in host memory; times in seconds since the epoch."""

    owner_id: str
    n_tokens: int
    n_bytes: int
    created_s: float
    used_s: float


class CacheState(Struct, frozen=True, tag=True):
    """What memory holds of prompts.

    Attributes:
        request_id: Of the question.
        n_cells: Cells of the context in use, in tokens.
        n_host_bytes: Host memory that states take.
        prompts: These states, the last used first.
    """

    request_id: str
    n_cells: int
    n_host_bytes: int
    prompts: tuple[StoredPrompt, ...] = ()


Message = (
    Load
    | Loading
    | Loaded
    | Generate
    | Embed
    | Rerank
    | Abort
    | Tokenize
    | Detokenize
    | Render
    | Tokenized
    | Embedded
    | Inspect
    | Inspected
    | AskCache
    | ClearCache
    | CacheState
    | UseThreads
    | Shutdown
    | Started
    | Step
    | Failed
    | Task
    | Moment
    | Result
)
