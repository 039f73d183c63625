"""How the vectors of a text's tokens become one, as sentence-transformers writes it down."""

from __future__ import annotations

import gguf

from runner.errors import BadModelFile
from runner.tools.convert.folder import ModelFolder

#: How ``1_Pooling/config.json`` says it.
_POOLINGS = (
    ("pooling_mode_mean_tokens", gguf.PoolingType.MEAN),
    ("pooling_mode_cls_token", gguf.PoolingType.CLS),
    ("pooling_mode_lasttoken", gguf.PoolingType.LAST),
)


def pooling_of(folder: ModelFolder) -> gguf.PoolingType | None:
    """Return how vectors become one; ``None`` of a folder that says nothing of it.

    Raises:
        BadModelFile: In a way that llama.cpp does not compute, or the file that says it is missing.
    """
    config = folder.json("1_Pooling/config.json")
    if config is None:
        if folder.file("modules.json"):
            raise BadModelFile(f"{folder.place} has modules.json but no 1_Pooling")
        return None
    for key, pooling in _POOLINGS:
        if config.get(key):
            return pooling
    chosen = [key for key, value in config.items() if value is True]
    raise BadModelFile(
        f"its pooling ({', '.join(chosen) or 'none'}) is none that llama.cpp computes",
        hint="mean, cls and last token are known",
    )
