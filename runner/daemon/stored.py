"""What the daemon finds on the disk when it starts: models, kept prompts, jobs; tidied."""

from __future__ import annotations

import logging
from collections.abc import Collection

from runner.dialects.ollama_models import tags
from runner.errors import CorralError, DiskFull
from runner.kv.shelf import Shelf
from runner.paths import Paths, find_paths
from runner.store.library import Library
from runner.store.state import JobTable

logger = logging.getLogger(__name__)


def stored(paths: Paths) -> tuple[Library, Shelf, JobTable | None]:
    """Return models, kept prompts and jobs, all tidied; what jobs wait for stays."""
    # A folder that somebody chose is there, or its disk is not.
    library = Library(paths.models, must_exist=paths.models != find_paths().models)
    shelf, table = Shelf(paths.kv), _job_table(paths)
    _tidy(library, shelf, table.wanted_keys() if table else ())
    return library, shelf, table or _job_table(paths)  # there may be room now


def _job_table(paths: Paths) -> JobTable | None:
    """Return where jobs are kept; ``None`` when the disk is full: who makes room needs a daemon."""
    try:
        return JobTable(paths.jobs_file)
    except DiskFull as error:
        logger.warning("the jobs of the last daemon wait for the next one: %s", error.message)
        return None


def _tidy(library: Library, shelf: Shelf, wanted: Collection[str]) -> None:
    """Remove what interrupted imports and writers left, and look through what there is.

    Never a reason not to serve.
    """
    shelf.tidy()
    try:
        n_bytes = library.prune(keep=wanted)
        tags(library.list())  # the first who asks for it shall not be the one who waits
    except CorralError as error:
        logger.warning("the library was not tidied: %s", error.message)
        return
    if n_bytes:
        logger.info("tidied the library n_bytes=%d", n_bytes)
