"""What each path needs of its caller; pure tables.

A path that is in no table manages: a new route is closed to keys that may only infer, and to web
pages, until somebody says otherwise here.
"""

from __future__ import annotations

from runner.domain.key import Scope

#: What anybody may call who reaches the daemon, by which clients find out what answers here.
_OPEN = frozenset({"/", "/health", "/v1/health", "/api/version", "/api/status"})

#: What a web page may call without a key: inference, and what it takes to choose a model for it.
_FOR_PAGES = _OPEN | {
    "/api/tags",
    "/api/generate",
    "/api/chat",
    "/api/embed",
    "/api/embeddings",
    "/v1/models",
    "/v1/models/{name}",
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/responses",
    "/v1/rerank",
    "/v1/reranking",
    "/v1/score",
    "/v2/rerank",
    "/rerank",
    "/reranking",
    "/score",
    "/models",
    "/chat/completions",
    "/completions",
    "/embeddings",
    "/responses",
}

#: What any key opens: to look, not to touch.
_ANY_KEY = frozenset(
    {
        "/api/tags",
        "/api/show",
        "/api/ps",
        "/api/estimate",
        "/v1/models",
        "/v1/models/{name}",
        "/models",
        "/openapi.json",
        "/metrics",
    }
)

#: What a key must open ``infer`` for.
_INFER = _FOR_PAGES | {
    "/api/tokenize",
    "/api/detokenize",
    "/api/render",
    "/v1/tokenize",
    "/v1/detokenize",
    "/tokenize",
    "/detokenize",
    "/apply-template",
    "/v1/chat/completions/input_tokens",
    "/chat/completions/input_tokens",
    "/v1/responses/input_tokens",
    "/responses/input_tokens",
    "/v1/responses/{id}",
}

#: What only the owner and keys of their standing may, however the daemon is reached.
_ADMIN = frozenset(
    {
        "/api/settings",
        "/api/secrets/{name}",
        "/api/keys",
        "/api/keys/{id}",
        "/api/devices",
        "/api/devices/{address}",
        "/api/folder",
        "/api/logs",
        "/api/shutdown",
    }
)


def is_open(resource: str) -> bool:
    """Whether no key is ever needed."""
    return resource in _OPEN


def is_for_pages(resource: str) -> bool:
    """Whether a web page may call it without a key; what does not exist is no secret."""
    return not resource or resource in _FOR_PAGES


def needed(resource: str) -> Scope | None:
    """Return what a key must open; ``None``: any key will do.

    Args:
        resource: A route's own text; empty where there is no route, which is no secret.
    """
    if resource in _ADMIN:
        return Scope.ADMIN
    if not resource or resource in _ANY_KEY or resource in _OPEN:
        return None
    return Scope.INFER if resource in _INFER else Scope.MANAGE
