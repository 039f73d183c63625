"""Errors in Anthropic's form: ``{"type": "error", "error": {"type", "message"}}``."""

from __future__ import annotations

import re

import msgspec

from runner.errors import CorralError, PromptTooLong

#: The statuses that have a type of their own; the others are ``api_error``.
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class ErrorDetail(msgspec.Struct, omit_defaults=True):
    """What went wrong; ``code``, ``hint`` and ``queue_position`` are our own."""

    type: str
    message: str
    code: str = ""
    hint: str = ""
    queue_position: int = 0


class ErrorBody(msgspec.Struct):
    """Every error."""

    error: ErrorDetail
    request_id: str
    type: str = "error"


def _worded(error: CorralError) -> str:
    """Return the message; that of a prompt which does not fit in Anthropic's own words.

    Claude Code reads the two counts from these, and shortens the conversation by itself.
    """
    counts = re.findall(r"\d+", error.message) if error.code == PromptTooLong.code else []
    if len(counts) < 2:
        return error.message
    n_prompt, n_ctx = counts[-2:]
    return f"prompt is too long: {n_prompt} tokens > {n_ctx} maximum"


def error_body(error: CorralError, status: int, request_id: str = "") -> ErrorBody:
    """Return ``error`` as Anthropic words it for an answer with ``status``."""
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    message = _worded(error) or "internal error"
    position = getattr(error, "position", 0)
    return ErrorBody(ErrorDetail(kind, message, error.code, error.hint, position), request_id)
