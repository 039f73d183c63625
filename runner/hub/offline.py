"""Whether hubs may be asked at all: our own setting, and what their clients read."""

from __future__ import annotations

from collections.abc import Mapping

from runner.errors import Offline

#: Read by the client of one hub; who sets one of them means both hubs.
_VARIABLES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
_TRUE = frozenset({"1", "on", "yes", "true"})


def refuse_offline(host: str, environ: Mapping[str, str], *, is_offline: bool) -> None:
    """Return when the network may be used.

    Args:
        host: The hub that was to be asked, for the error.
        environ: Where the variables are looked for.
        is_offline: What our own setting says.

    Raises:
        Offline: It may not; the message names what forbids it.
    """
    said = "CORRAL_OFFLINE" if is_offline else ""
    for name in _VARIABLES:
        if environ.get(name, "").strip().lower() in _TRUE:
            said = said or name
    if said:
        raise Offline(
            f"{host} was not asked: {said} is set",
            hint=f"models that are here work; to ask hubs, unset {said} and start the daemon again",
        )
