"""Every error this program raises on purpose.

    CorralError
    ├── RequestError            the caller asked for something that cannot be done
    │   ├── InvalidRequest          a field is missing, mistyped or out of range
    │   ├── InvalidName             a model name that cannot be parsed
    │   ├── ModelNotFound           nothing in the library has that name
    │   ├── RequestNotFound         no request that runs or waits has that id
    │   ├── JobNotFound             there is no job with that id
    │   ├── JobUnderWay             a job is at that very name already
    │   ├── PromptTooLong           the prompt alone overflows the context
    │   ├── Unsupported             the model, or this version, has no such ability
    │   ├── TemplateFailed          the model's chat template raised, or never ended
    │   ├── TooLarge                a body, header or image beyond its limit
    │   ├── TooSlow                 a body that did not arrive in time
    │   ├── KeyNotFound             there is no API key with that id
    │   ├── Unauthorized            a key is missing, wrong, expired or revoked
    │   └── Forbidden               needs the owner's token, or comes from a foreign page
    ├── CapacityError           a fair request at a bad moment
    │   ├── QueueFull               too many requests are already waiting
    │   ├── TooManyRequests         a key has used up its requests of this minute
    │   ├── DeadlineExceeded        the time that the request allowed is over
    │   ├── StoreBusy               another process is writing to the store
    │   ├── NotEnoughMemory         the model does not fit beside what is in use
    │   └── DiskFull                the disk has no room for what must be written
    ├── SourceError             a model's origin refused, failed or sent the wrong bytes
    │   ├── NotOnHub                the hub has no such repository, revision or file
    │   ├── AccessDenied            the hub wants a token, another one, or a licence accepted
    │   ├── RateLimited             the hub has had enough of us for a while
    │   ├── Offline                 the hub's client is told not to use the network
    │   ├── BadModelFile            not a model file this program can load
    │   │   └── UnsupportedArchitecture     a kind of model there is no converter for
    │   └── DigestMismatch          the bytes are not the ones the name promises
    ├── StoreError              the library's folder cannot be read or written
    ├── Cancelled               the request was cancelled by somebody else than its client
    ├── WorkerError             an engine process could not load, or died
    │   └── DeviceError             a device of another machine is out of reach, or was lost
    └── DaemonError             the daemon cannot start, or cannot be reached
        ├── AddressInUse            something else answers on the daemon's address
        └── AlreadyRunning          a daemon already serves this home

Each class words itself: ``message`` says what happened, ``hint`` what to do next, ``code`` is the
stable word that scripts match on.  Status numbers belong to ``server/middleware.py`` and exit
codes to ``cli/main.py``; nothing below them knows either.  Between processes an error travels as
``(code, message, hint)`` and is made again by ``from_code``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar


class CorralError(Exception):
    """Base of all expected errors; any other exception that reaches the top is a bug."""

    code: ClassVar[str] = "internal"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class RequestError(CorralError):
    """The caller asked for something that cannot be done; ``param`` is the field at fault."""

    code = "bad_request"
    param: str | None = None

    def __init__(self, message: str, *, hint: str = "", param: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.param = param


class InvalidRequest(RequestError):
    """A field is missing, mistyped or out of range."""

    code = "invalid_request"


class InvalidName(RequestError):
    """A model name that cannot be parsed."""

    code = "invalid_name"


class ModelNotFound(RequestError):
    """Nothing in the library has that name."""

    code = "model_not_found"

    def __init__(self, name: str) -> None:
        super().__init__(f"model '{name}' not found", hint=f"download it with: corral pull {name}")
        self.name = name


class RequestNotFound(RequestError):
    """No request that runs or waits has that id; it may just have ended."""

    code = "request_not_found"


class JobNotFound(RequestError):
    """There is no job with that id."""

    code = "job_not_found"


class JobUnderWay(RequestError):
    """A job is at that very name already, and does something else; the message has its id."""

    code = "job_under_way"


class PromptTooLong(RequestError):
    """The prompt alone overflows the context; nothing was cut off."""

    code = "prompt_too_long"
    n_prompt = 0  # tokens of the prompt, where they were counted

    def __init__(self, n_prompt: int, n_ctx: int, *, what: str = "the prompt") -> None:
        room = ", which leaves none for an answer" if n_prompt == n_ctx else ""
        super().__init__(
            f"{what} has {n_prompt} tokens, but the context holds {n_ctx}{room}",
            hint="shorten the prompt, or ask for a larger context with num_ctx",
        )
        self.n_prompt = n_prompt


class Unsupported(RequestError):
    """The model, or this version, has no such ability."""

    code = "unsupported"


class TemplateFailed(RequestError):
    """The model's chat template raised, or did not end in time."""

    code = "template_failed"


class TooLarge(RequestError):
    """A body, header or image is beyond its limit."""

    code = "too_large"


class TooSlow(RequestError):
    """A body did not arrive in time."""

    code = "too_slow"


class KeyNotFound(RequestError):
    """There is no API key with that id."""

    code = "key_not_found"


class Unauthorized(RequestError):
    """An API key is missing, wrong, expired or revoked."""

    code = "unauthorized"


class Forbidden(RequestError):
    """The call needs the owner's token, or comes from a web page or host not allowed here."""

    code = "forbidden"


class CapacityError(CorralError):
    """A fair request at a bad moment; trying again later may work."""

    code = "busy"


class QueueFull(CapacityError):
    """Too many requests are already waiting.

    ``position`` is the place in the queue that this one would have had, from 1; 0: not counted.
    """

    code = "queue_full"
    position = 0


class TooManyRequests(CapacityError):
    """A key has used up its requests of this minute; ``wait_s`` says when the next one may come."""

    code = "rate_limit_exceeded"

    def __init__(self, n_per_minute: int, wait_s: float) -> None:
        super().__init__(
            f"this key may make {n_per_minute} requests a minute, and has made them",
            hint=f"try again in {max(1, round(wait_s + 0.5))} s",
        )
        self.wait_s = wait_s


class DeadlineExceeded(CapacityError):
    """The time that the request itself allowed is over, and its answer is not whole."""

    code = "deadline_exceeded"


class StoreBusy(CapacityError):
    """Another process is writing to the store."""

    code = "store_busy"


class NotEnoughMemory(CapacityError):
    """The model does not fit beside what is in use."""

    code = "not_enough_memory"


class DiskFull(CapacityError):
    """The disk has no room for what must be written."""

    code = "disk_full"


class SourceError(CorralError):
    """A model's origin refused, failed or sent the wrong bytes."""

    code = "source_failed"


class NotOnHub(SourceError):
    """The hub has no such repository, revision or file, or nothing in it that can be run."""

    code = "not_on_hub"


class AccessDenied(SourceError):
    """The hub wants a token, another token, or its owner's consent to a licence."""

    code = "access_denied"


class RateLimited(SourceError):
    """The hub has had enough of us for a while."""

    code = "rate_limited"


class Offline(SourceError):
    """The hub's client is told, by its own setting, not to use the network."""

    code = "offline"


class BadModelFile(SourceError):
    """Not a model file this program can load."""

    code = "bad_model_file"


class UnsupportedArchitecture(BadModelFile):
    """A kind of model there is no converter for."""

    code = "unsupported_architecture"


class DigestMismatch(SourceError):
    """The bytes are not the ones the name promises."""

    code = "digest_mismatch"


class StoreError(CorralError):
    """The library's folder cannot be read or written, or holds something damaged."""

    code = "store_failed"


class Cancelled(CorralError):
    """The request was cancelled, by somebody else than the client that waits for its answer."""

    code = "cancelled"


class WorkerError(CorralError):
    """An engine process could not load its model, or died.

    ``is_crash``: it died of a signal, or for want of memory.
    """

    code = "worker_failed"
    is_crash = False


class DeviceError(WorkerError):
    """A device of another machine cannot be reached, refuses its key, or was lost.

    ``address`` is that of one that was lost in the midst of work, or empty.
    """

    code = "device_failed"
    address: str = ""


class DaemonError(CorralError):
    """The daemon cannot start, or cannot be reached."""

    code = "daemon_unavailable"


class AddressInUse(DaemonError):
    """Something else answers on the daemon's address."""

    code = "address_in_use"


class AlreadyRunning(DaemonError):
    """A daemon already serves this home."""

    code = "already_running"


def from_code(code: str, message: str, hint: str = "") -> CorralError:
    """Return the error that another process described; an unknown code is a ``CorralError``."""
    for cls in _tree(CorralError):
        if cls.code == code:
            error = cls.__new__(cls)
            CorralError.__init__(error, message, hint=hint)
            return error
    return CorralError(message, hint=hint)


def _tree(cls: type[CorralError]) -> Iterator[type[CorralError]]:
    yield cls
    for child in cls.__subclasses__():
        yield from _tree(child)
