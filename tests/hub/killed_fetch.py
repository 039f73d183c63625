"""A program of its own that downloads one file, so that a test may kill it at any moment.

    python killed_fetch.py FOLDER N_BYTES SHA256 URL...

Prints the digest when all is there.
"""

from __future__ import annotations

import sys
from pathlib import Path

from runner.hub.download import fetch
from runner.hub.patience import Patience
from runner.hub.source import Candidate, RemoteFile
from runner.hub.worker import Manner
from runner.store.arrival import open_arrival


def main(folder: str, n_bytes: str, sha256: str, url: str, *mirrors: str) -> None:
    """Download, and say what came of it."""
    file = RemoteFile(
        name="model.gguf",
        location=url,
        is_local=False,
        n_bytes=int(n_bytes),
        sha256=sha256,
        candidates=tuple(Candidate(mirror) for mirror in mirrors),
    )
    arrival = open_arrival(Path(folder), f"sha256:{sha256}", file.n_bytes)
    assert arrival is not None, "somebody else has it"
    steps = fetch(file, arrival, Manner(n_ranges=4, patience=Patience(first_s=0.01)))
    while True:
        try:
            next(steps)
        except StopIteration as end:
            sys.stdout.write(end.value[0])
            return


if __name__ == "__main__":
    main(*sys.argv[1:])
