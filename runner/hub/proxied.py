"""The proxy that the settings name, handed to everything that asks a hub.

Both hubs' clients and our own connections look for a proxy in the environment, each in its own
way; so it is put there, once and before there are threads: they read while others would write.
"""

from __future__ import annotations

from collections.abc import MutableMapping

#: What is this machine's own is asked without a proxy, unless the user has said otherwise.
_OWN = "localhost,127.0.0.1,::1"


def name_proxy(proxy: str, environ: MutableMapping[str, str]) -> None:
    """Have whoever reads ``environ`` use ``proxy`` for the hubs; empty: leave it as it is."""
    if not proxy:
        return
    for name in ("http_proxy", "https_proxy"):
        # The small letters win where both are read.
        environ[name] = environ[name.upper()] = proxy
    if not environ.get("no_proxy") and not environ.get("NO_PROXY"):
        environ["no_proxy"] = environ["NO_PROXY"] = _OWN
