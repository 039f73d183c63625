"""A download without jobs around it: a file server, a folder, and what came of it."""

from __future__ import annotations

import hashlib
import random
import threading
from pathlib import Path

from runner.hub.download import fetch
from runner.hub.patience import Patience
from runner.hub.source import RemoteFile
from runner.hub.worker import Manner
from runner.store.arrival import open_arrival

QUICK = Patience(n_tries=6, first_s=0.001, most_s=0.01, stall_s=5.0)
MIB = 1 << 20


def noise(n_bytes: int, seed: int = 0) -> bytes:
    """Bytes that differ everywhere, the same each time."""
    dice, left = random.Random(seed), n_bytes
    pieces = []
    while left > 0:
        pieces.append(dice.randbytes(min(left, 16 * MIB)))
        left -= len(pieces[-1])
    return b"".join(pieces)


def remote(url: str, content: bytes, **more) -> RemoteFile:
    more.setdefault("sha256", hashlib.sha256(content).hexdigest())
    return RemoteFile(name="model.gguf", location=url, is_local=False, n_bytes=len(content), **more)


def drain(generator):
    """What a generator yields, and what it returns."""
    steps = []
    while True:
        try:
            steps.append(next(generator))
        except StopIteration as end:
            return steps, end.value


class Waits:
    """Takes the place of waiting, and remembers for how long it should have been."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __call__(self, event: threading.Event, seconds: float) -> bool:
        self.seconds.append(seconds)
        return event.wait(min(seconds, 0.001))


def download(
    folder: Path, file: RemoteFile, *, n_ranges: int = 4, patience: Patience = QUICK, **more
) -> bytes:
    """Fetch ``file`` into ``folder``; return its bytes once the digest is that of the bytes."""
    key = f"sha256:{file.sha256}" if file.sha256 else file.location
    arrival = open_arrival(folder, key, file.n_bytes, is_kept=file.sha256 is not None)
    assert arrival is not None, "somebody else has it"
    try:
        manner = Manner(n_ranges=n_ranges, patience=patience, **more)
        _, (digest, _states) = drain(fetch(file, arrival, manner))
        content = arrival.path.read_bytes()
        assert digest == f"sha256:{hashlib.sha256(content).hexdigest()}"
        return content
    finally:
        arrival.close()
