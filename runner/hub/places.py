"""All places that models come from, in the order in which they are asked.

The composition of this room: the daemon hands in settings, and gets hubs and sources.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from runner.domain.hub_url import MODELSCOPE as MODELSCOPE_HOST, MODELSCOPE_INTERNATIONAL
from runner.hub.catalogue import AUTO, HF, MODELSCOPE, Catalogue, CatalogueSource
from runner.hub.huggingface import HuggingFace
from runner.hub.mirrored import MirroredSource
from runner.hub.modelscope import ModelScope
from runner.hub.packaged import PackagedSource
from runner.hub.repository import Hub, HubSource
from runner.hub.source import Source


def hubs_and_sources(
    *,
    order: str,
    folders: Sequence[Path],
    memory_bytes: int,
    environ: Mapping[str, str] = os.environ,
    token: Callable[[str], str | None] = lambda name: None,
    is_offline: bool = False,
) -> tuple[dict[str, Hub], list[Source]]:
    """Return the hubs by the names that a search uses, and the sources.

    Args:
        order: Which hub short names come from: ``auto``, ``hf`` or ``modelscope``.
        folders: The catalogue's, the user's own first.
        memory_bytes: This machine's memory; 0: not known.
        environ: Where the hubs' clients look for endpoints and tokens.
        token: Asked for a hub's token, ``hf`` or ``modelscope``, before each use; on any thread.
        is_offline: Whether no hub may be asked.
    """
    hugging_face = HuggingFace(environ, token=lambda: token("hf"), is_offline=is_offline)
    model_scope, international = (
        ModelScope(host, environ, token=lambda: token("modelscope"), is_offline=is_offline)
        for host in (MODELSCOPE_HOST, MODELSCOPE_INTERNATIONAL)
    )

    def alone(hub: Hub) -> HubSource:
        return HubSource(hub, memory_bytes=memory_bytes)

    def beside(hub: Hub, other: Hub) -> HubSource:
        others = [other] if order == AUTO else []
        return HubSource(hub, others=others, memory_bytes=memory_bytes)

    catalogue = Catalogue(folders)
    each = {hub.host: alone(hub) for hub in (hugging_face, model_scope, international)}

    def mirrored(own: Source) -> Source:
        return MirroredSource(own, catalogue, each)

    sources: list[Source] = [
        PackagedSource(),
        CatalogueSource(catalogue, each, order=order),
        mirrored(beside(hugging_face, model_scope)),
        mirrored(beside(model_scope, hugging_face)),
        mirrored(beside(international, hugging_face)),
    ]
    return {HF: hugging_face, MODELSCOPE: model_scope}, sources
