"""What the daemon and a worker process say to each other.

Down the pipe go ``Load``, ``Generate``, ``Embed``, ``Rerank``, ``Abort``, ``Tokenize`` and
``Shutdown``; up come ``Loaded``, ``Started``, ``Step``, ``Embedded``, ``Tokenized`` and ``Failed``.
Two promises bind the sides, and the tests of both check them:

1. every ``request_id`` sent down comes back exactly once as an ending: a ``Delta`` with a
   ``finish``, a ``Loaded``, an ``Embedded``, a ``Tokenized`` or a ``Failed``;
2. once it has ended, no later message names it.

Closing the pipe ends the worker at once, whatever it is doing.
"""

from __future__ import annotations

from msgspec import Struct

from runner.domain.chat import Message as ChatMessage, Tool
from runner.domain.event import FinishReason, TokenLogprob
from runner.domain.options import SamplingParams
from runner.domain.request import AdapterUse, Constraint, Terms, Think
from runner.domain.vectors import Pooling


class Load(Struct, frozen=True, tag=True):
    """Load a model; the first message, sent once.

    Attributes:
        request_id: Comes back in ``Loaded`` or ``Failed``.
        path: GGUF file.
        n_ctx: Context of one sequence, in tokens; the model's training length caps it.
        n_cells: Cache cells over all sequences, in tokens.
        n_seq_max: Sequences running at once.
        n_batch: Tokens a step.
        n_threads: 0: one for each core.
        n_gpu_layers: -1: all.
        use_mmap: Map the file instead of reading it.
        n_host_bytes: Memory for the states of prompts that left the cache.
        generates: Whether it shall answer; a model that only embeds needs no cache for that.
        adapters: GGUF files of LoRA adapters, numbered from 0.
    """

    request_id: str
    path: str
    n_ctx: int
    n_cells: int
    n_seq_max: int
    n_batch: int = 512
    n_threads: int = 0
    n_gpu_layers: int = -1
    use_mmap: bool = True
    n_host_bytes: int = 0
    generates: bool = True
    adapters: tuple[str, ...] = ()


class Loaded(Struct, frozen=True, tag=True):
    """The model is resident; contexts in tokens."""

    request_id: str
    n_ctx: int
    n_cells: int
    n_threads: int


class Generate(Struct, frozen=True, tag=True):
    """Start one sequence; exactly one of ``messages`` and ``prompt``.

    Attributes:
        request_id: Unique in this worker's life.
        messages: Rendered in the worker by the model's own template.
        prompt: Raw text; control tokens in it are parsed.
        context: Tokens before the prompt.
        n_ctx: Most tokens of this sequence; the worker's own limit caps it.
        max_tokens: Most tokens drawn; ``None``: until the context is full.
        wants_tokens: Whether the last ``Delta`` shall carry all tokens.
        terms: How the engine is to treat it.
        tools: For the template.
        think: For the template.
        template: In place of the model's own; ``None``: the model's own.
        constraint: What the answer must look like.
        n_logprobs: Most likely tokens to tell at each place; ``None``: none.
        shifts: When the context is full, the oldest tokens go and the answer goes on.
        truncates: A conversation that does not fit loses its oldest turns.
        adapters: LoRA adapters to answer with; ``None``: all that were loaded, at full scale.
    """

    request_id: str
    sampling: SamplingParams
    messages: tuple[ChatMessage, ...] | None = None
    prompt: str | None = None
    context: tuple[int, ...] = ()
    stop: tuple[str, ...] = ()
    n_ctx: int = 0
    max_tokens: int | None = None
    wants_tokens: bool = False
    terms: Terms = Terms()
    tools: tuple[Tool, ...] = ()
    think: Think = None
    template: str | None = None
    constraint: Constraint | None = None
    n_logprobs: int | None = None
    shifts: bool = False
    truncates: bool = False
    adapters: tuple[AdapterUse, ...] | None = None


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


class Shutdown(Struct, frozen=True, tag=True):
    """End at once; what is running is aborted."""


class Started(Struct, frozen=True, tag=True):
    """The sequence begins to be computed; precedes the first delta.

    Attributes:
        request_id: Which.
        n_prompt: Tokens of its prompt.
        n_cached: Of them, not to be computed.
        n_diverged: Where it first differs from the stored text most like it; ``None``: from none.
        n_dropped: Turns left out so that the conversation fits.
    """

    request_id: str
    n_prompt: int
    n_cached: int
    n_diverged: int | None = None
    n_dropped: int = 0


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
    """

    reason: FinishReason
    n_generated: int
    prompt_s: float
    decode_s: float
    stop: str | None = None
    tokens: tuple[int, ...] = ()
    n_shifted: int = 0


class Delta(Struct, frozen=True, array_like=True):
    """New text of one sequence, whole characters; may be empty when it ends."""

    request_id: str
    text: str
    finish: Outcome | None = None
    logprobs: tuple[TokenLogprob, ...] = ()


class Step(Struct, frozen=True, tag=True):
    """All output of one decode step: one message a step, not one a token.

    Attributes:
        deltas: Sequences with something to say; those that hold text back are left out.
        n_steps: Decode steps since the model was loaded.
        n_tokens: Tokens computed since then.
    """

    deltas: tuple[Delta, ...]
    n_steps: int
    n_tokens: int


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
    """The answer to ``Tokenize``."""

    request_id: str
    tokens: tuple[int, ...]


class Failed(Struct, frozen=True, tag=True):
    """A request ended with an error: ``errors.CorralError``'s own words."""

    request_id: str
    code: str
    message: str
    hint: str = ""


Message = (
    Load
    | Loaded
    | Generate
    | Embed
    | Rerank
    | Abort
    | Tokenize
    | Tokenized
    | Embedded
    | Shutdown
    | Started
    | Step
    | Failed
)
