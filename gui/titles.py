"""What an error is called, by its code: a few words over the daemon's own, in our language."""

from __future__ import annotations

from collections.abc import Mapping

from gui.words import tr

#: By ``CorralError.code``; English.
TITLES: Mapping[str, str] = {
    "access_denied": "The hub asks for a token or a licence",
    "address_in_use": "Another program has the address",
    "already_running": "A daemon runs already",
    "bad_model_file": "The model's file cannot be used",
    "busy": "Too much is going on",
    "cancelled": "It was cancelled",
    "daemon_unavailable": "The daemon does not answer",
    "deadline_exceeded": "The time is over",
    "device_failed": "A device is out of reach",
    "digest_mismatch": "The bytes are not those that were promised",
    "disk_full": "The disk is full",
    "forbidden": "This is not allowed",
    "invalid_name": "The name is not right",
    "invalid_request": "A value is not right",
    "job_under_way": "A job is at it already",
    "model_not_found": "The model is not here",
    "not_enough_memory": "There is not enough memory",
    "not_on_hub": "The hub does not have it",
    "offline": "The network is switched off",
    "prompt_too_long": "The chat is too long",
    "queue_full": "Too many are waiting",
    "rate_limit_exceeded": "The key has used up its minute",
    "rate_limited": "The hub wants fewer requests",
    "source_failed": "The hub could not be used",
    "store_busy": "Another program writes to the library",
    "store_failed": "The library cannot be used",
    "template_failed": "The model's template is broken",
    "too_large": "It is too large",
    "too_slow": "It took too long to arrive",
    "unauthorized": "A key is missing, or wrong",
    "unsupported": "The model cannot do this",
    "unsupported_architecture": "A kind of model that is not known here",
    "worker_failed": "The model's process has ended",
}

_ANY = "Something went wrong"


def title_of(code: object) -> str:
    """Return what an error with this code is called, be the code of a later version."""
    return tr(TITLES.get(str(code), _ANY))
