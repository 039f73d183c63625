"""How the vectors of a text's tokens become one, as sentence-transformers writes it down."""

from __future__ import annotations

import json

import gguf

from runner.errors import BadModelFile, UnsupportedArchitecture
from runner.tools.convert.folder import ModelFolder

#: How ``1_Pooling/config.json`` says it: several keys of which one is true, or one with a name.
_POOLINGS = {
    "pooling_mode_mean_tokens": gguf.PoolingType.MEAN,
    "pooling_mode_cls_token": gguf.PoolingType.CLS,
    "pooling_mode_lasttoken": gguf.PoolingType.LAST,
    "mean": gguf.PoolingType.MEAN,
    "cls": gguf.PoolingType.CLS,
    "lasttoken": gguf.PoolingType.LAST,
}
#: Steps of ``modules.json`` that are known here, by the end of their type's name: the model, the
#: pooling, and making vectors of length 1, which is asked for with each request.
_STEPS = ("Transformer", "Pooling", "Normalize")


def pooling_of(folder: ModelFolder) -> gguf.PoolingType | None:
    """Return how vectors become one; ``None`` of a folder that says nothing of it.

    Raises:
        BadModelFile: In a way that llama.cpp does not compute, or the file that says it is missing.
        UnsupportedArchitecture: Another step comes after it, such as a layer of its own.
    """
    _refuse_other_steps(folder)
    config = folder.json("1_Pooling/config.json")
    if config is None:
        if folder.file("modules.json"):
            raise BadModelFile(f"{folder.place} has modules.json but no 1_Pooling")
        return None
    chosen = [key for key, value in config.items() if value is True and "pooling_mode_" in key]
    if isinstance(config.get("pooling_mode"), str):
        chosen.append(config["pooling_mode"])
    if len(chosen) == 1 and chosen[0] in _POOLINGS:
        return _POOLINGS[chosen[0]]
    raise BadModelFile(
        f"its pooling ({', '.join(chosen) or 'none'}) is none that llama.cpp computes",
        hint="mean, cls and last token are known",
    )


def _refuse_other_steps(folder: ModelFolder) -> None:
    content = folder.content("modules.json")
    if content is None:
        return
    try:
        steps = json.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise BadModelFile(f"modules.json cannot be read: {error}") from None
    for step in steps if isinstance(steps, list) else []:
        kind = str(step.get("type", "")) if isinstance(step, dict) else ""
        if not kind.endswith(_STEPS):
            raise UnsupportedArchitecture(
                f"modules.json has a step of the type {kind[:80]!r}, which is not known here",
                hint="look for a GGUF build of this model",
            )
