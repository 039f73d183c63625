"""Errors in OpenAI's form: ``{"error": {"message", "type", "param", "code"}}``."""

from __future__ import annotations

import msgspec

from runner.errors import CorralError, InvalidName, ModelNotFound, PromptTooLong, Unauthorized

#: Codes that clients of OpenAI match on, where it has another word than we.
_CODES = {
    PromptTooLong.code: "context_length_exceeded",
    Unauthorized.code: "invalid_api_key",
}

#: Fields at fault where the error itself does not know what its dialect calls them.
_PARAMS = {
    InvalidName.code: "model",
    ModelNotFound.code: "model",
    PromptTooLong.code: "messages",
}

#: Fields that are called otherwise in the service, whose words are Ollama's.
_RENAMED = {"think": ("reasoning_effort", "leave it out, or say none"), "images": ("messages", "")}

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


class ErrorDetail(msgspec.Struct, omit_defaults=True):
    """What went wrong; ``hint`` and ``queue_position`` are our own, left out when empty."""

    message: str
    type: str
    param: str | None
    code: str
    hint: str = ""
    queue_position: int = 0


class ErrorBody(msgspec.Struct):
    """Every error; a bare string under ``error`` would leave the clients' fields empty."""

    error: ErrorDetail


def error_body(error: CorralError, status: int) -> ErrorBody:
    """Return ``error`` as OpenAI words it for an answer with ``status``."""
    param = getattr(error, "param", None) or _PARAMS.get(error.code)
    param, hint = _RENAMED.get(param or "", (param, ""))
    fallback = "invalid_request_error" if status < 500 else "api_error"
    return ErrorBody(
        ErrorDetail(
            message=error.message or "internal error",
            type=_TYPES.get(status, fallback),
            param=param,
            code=_CODES.get(error.code, error.code),
            hint=hint or error.hint,
            queue_position=getattr(error, "position", 0),
        )
    )
