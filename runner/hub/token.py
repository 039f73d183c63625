"""Tokens of hubs, before they go into a header: what can be none is never sent, nor told."""

from __future__ import annotations

from runner.errors import AccessDenied


def usable_token(token: str | None, variable: str) -> str | None:
    """Return ``token`` without blanks around it; ``None`` where there is none.

    Args:
        token: From the settings or the environment.
        variable: What it is set by, for the error.

    Raises:
        AccessDenied: No header can hold it.  Libraries would say so too, and quote it.
    """
    token = (token or "").strip()
    if not all("!" <= char <= "~" for char in token):
        raise AccessDenied(
            f"{variable} cannot be a token: it has blanks, line ends or letters beyond ASCII",
            hint=f"set {variable} to the token alone, as the hub shows it",
        )
    return token or None
