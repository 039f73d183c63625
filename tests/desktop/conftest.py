"""The driven run has a stage of its own in ``tests/run.py``: it needs a screen and its time."""

from __future__ import annotations

import os

collect_ignore_glob = [] if os.environ.get("CORRAL_DESKTOP") else ["test_*.py"]
