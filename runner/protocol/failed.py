"""How anything ends that was asked of a child and went wrong."""

from __future__ import annotations

from msgspec import Struct


class Failed(Struct, frozen=True, tag=True):
    """A request ended with an error: ``errors.CorralError``'s own words, and the field at fault.

    ``n_needed`` is the context that would have been enough, in tokens, where that is what lacked.
    """

    request_id: str
    code: str
    message: str
    hint: str = ""
    param: str = ""
    n_needed: int = 0
