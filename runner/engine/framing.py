"""From texts to what is embedded: the model's own tokens around them, cut to the context.

A text's opening and closing tokens stay when it is cut: pooling may look at them.  Control tokens
in a text are text.  Pure, but for the vocabulary; runs on the prepare thread.
"""

from __future__ import annotations

from collections import deque

from runner.domain.vectors import Pooling
from runner.engine.backend import Backend, Frame, Vocabulary
from runner.engine.embed import Item, Job
from runner.engine.queue import RANKS
from runner.errors import InvalidRequest, PromptTooLong, Unsupported
from runner.protocol.messages import Embed, Rerank


def job_of(request: Embed | Rerank, vocabulary: Vocabulary, backend: Backend) -> Job:
    """Return the job that ``request`` comes to.

    Raises:
        RequestError: The model cannot do it, an input is empty, too long, or has tokens that the
            model does not know.
    """
    n_ctx = min(request.n_ctx or backend.n_ctx, backend.n_ctx)
    if isinstance(request, Rerank):
        return _rerank(request, vocabulary, backend, n_ctx)
    pooling = request.pooling or backend.embedding.pooling
    if pooling is Pooling.RANK or backend.embedding.pooling is Pooling.RANK:
        raise Unsupported(
            "this model scores texts, it does not embed them",
            hint="use it for reranking, and an embedding model for vectors",
        )
    n_most = backend.embedding.n_dimensions
    if request.n_dimensions is not None and not 0 < request.n_dimensions <= n_most:
        raise InvalidRequest(
            f"dimensions must be in [1, {n_most}], not {request.n_dimensions}", param="dimensions"
        )
    items, truncated = deque[Item](), []
    for index, text in enumerate(request.inputs):
        tokens = _tokens(text, index, vocabulary, backend.n_vocab)
        if len(tokens) > n_ctx:
            if not request.truncates:
                raise _too_long(len(tokens), n_ctx, f"input[{index}]")
            tokens = _cut(tokens, n_ctx, None if isinstance(text, tuple) else vocabulary.frame)
            truncated.append(index)
        items.append(Item(tokens, index))
    return Job(
        request.request_id,
        items,
        pooling,
        n_dimensions=request.n_dimensions,
        normalizes=request.normalizes,
        truncated=tuple(truncated),
        rank=RANKS[request.terms.priority],
    )


def _tokens(
    text: str | tuple[int, ...], index: int, vocabulary: Vocabulary, n_vocab: int
) -> list[int]:
    if isinstance(text, tuple):
        tokens = list(text)
        if any(not 0 <= token < n_vocab for token in tokens):
            raise InvalidRequest(
                f"input[{index}]: tokens must be in [0, {n_vocab - 1}]", param="input"
            )
    else:
        frame = vocabulary.frame
        own = vocabulary.tokenize(text, parse_special=False)
        tokens = [*frame.opening, *own, *frame.closing]
    if not tokens:
        raise InvalidRequest(f"input[{index}] is empty: it has no tokens", param="input")
    return tokens


def _cut(tokens: list[int], n_most: int, frame: Frame | None) -> list[int]:
    """The first ``n_most`` tokens; inside a frame its closing ones are the last of them."""
    if frame is None:
        return tokens[:n_most]
    n_framing, n_closing = len(frame.opening) + len(frame.closing), len(frame.closing)
    if n_most <= n_framing:
        error = PromptTooLong(len(tokens), n_most)
        error.message = "input after truncation exceeds maximum context length"  # as in Ollama
        error.hint = (
            f"of {len(tokens)} tokens the context holds {n_most}, and {n_framing} open and close"
            " every text of this model: ask for a larger num_ctx"
        )
        raise error
    return tokens[: n_most - n_closing] + tokens[len(tokens) - n_closing :]


def _too_long(n_tokens: int, n_ctx: int, what: str) -> PromptTooLong:
    error = PromptTooLong(n_tokens, n_ctx, what=what)
    error.hint = "shorten it, or send 'truncate': true to have it cut"
    return error


def _rerank(request: Rerank, vocabulary: Vocabulary, backend: Backend, n_ctx: int) -> Job:
    if backend.embedding.pooling is not Pooling.RANK:
        raise Unsupported(
            "this model does not score texts", hint="use a reranker: a cross-encoder with its head"
        )
    items, truncated = deque[Item](), []
    for index, document in enumerate(request.documents):
        before, own, after = _pair(request.query, document, vocabulary)
        n_all, n_room = len(before) + len(own) + len(after), n_ctx - len(before) - len(after)
        if n_all > n_ctx:
            if not request.truncates or n_room < 1:
                raise _too_long(n_all, n_ctx, f"the query with documents[{index}]")
            own = own[:n_room]
            truncated.append(index)
        if not before and not own and not after:
            raise InvalidRequest(
                f"documents[{index}] and the query are empty: they have no tokens",
                param="documents",
            )
        items.append(Item([*before, *own, *after], index))
    return Job(
        request.request_id,
        items,
        Pooling.RANK,
        truncated=tuple(truncated),
        rank=RANKS[request.terms.priority],
    )


def _pair(
    query: str, document: str, vocabulary: Vocabulary
) -> tuple[list[int], list[int], list[int]]:
    """Tokens before the document, of it, and after it."""
    own = vocabulary.tokenize(document, parse_special=False)
    template = vocabulary.rank_template
    if not template:
        frame = vocabulary.frame
        asked = vocabulary.tokenize(query, parse_special=False)
        return [*frame.opening, *asked, *frame.between], own, list(frame.closing)
    opening, _, closing = template.partition("{document}")
    before: list[int] = []
    for number, part in enumerate(opening.split("{query}")):
        if number:
            before += vocabulary.tokenize(query, parse_special=False)
        before += vocabulary.tokenize(part, parse_special=True)
    return before, own, vocabulary.tokenize(closing, parse_special=True)
