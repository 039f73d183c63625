"""A program of its own that mends the one model of a library, so that a test may kill it.

    python killed_repair.py MODELS N_BYTES SHA256 URL

Prints how many bytes it fetched, once all is whole.
"""

from __future__ import annotations

import sys
from pathlib import Path

from runner.hub.source import RemoteFile
from runner.hub.throttle import Throttle
from runner.service.downloads import Downloads
from runner.service.repair import repair
from runner.service.run import Run
from runner.store.library import Library


class OneFile:
    """A source that has the file."""

    def __init__(self, n_bytes: int, sha256: str, url: str) -> None:
        self.file = RemoteFile("tiny.gguf", url, is_local=False, n_bytes=n_bytes, sha256=sha256)

    def claims(self, _name: object) -> bool:
        return True

    def resolve(self, _name: object) -> list[RemoteFile]:
        return [self.file]


def main(models: str, n_bytes: str, sha256: str, url: str) -> None:
    """Mend, and say what came of it."""
    library = Library(Path(models))
    (info,) = library.list()
    sources = [OneFile(int(n_bytes), sha256, url)]
    moments = repair(library, sources, Downloads(library, Throttle()), info.name, Run(Throttle()))
    try:
        while True:
            next(moments)
    except StopIteration as end:
        sys.stdout.write(str(end.value.n_fetched))


if __name__ == "__main__":
    main(*sys.argv[1:])
