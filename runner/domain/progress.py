"""How far a long job is: one shape for pulls, imports and loads."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """One moment of a job.

    Attributes:
        phase: What is happening, in words fit to show: ``pulling manifest``, ``success``.
        n_done: Bytes done in this phase; 0 where bytes are not counted.
        n_bytes: Bytes in this phase; 0 where bytes are not counted.
        digest: The blob this is about, ``sha256:<hex>``; empty for the job as a whole.
        name: The model's name, told by the last moment of a job that ends well.
        source: Where the bytes come from, such as ``hf.co``; empty where nothing is fetched.
    """

    phase: str
    n_done: int = 0
    n_bytes: int = 0
    digest: str = ""
    name: str = ""
    source: str = ""
