"""Every program in the documentation runs: each page in a folder, a home and on a port of its own.

The daemon is a real one with the starter model; ``reader.py`` says what is otherwise than on a
reader's machine.  What is tested is that a reader who types what stands there gets no error.
"""

from __future__ import annotations

from itertools import groupby

import pytest

from tests.docs.reader import Reader
from tests.docs.snippets import all_snippets
from tests.real_daemon import RealDaemon

pytestmark = pytest.mark.docs

RUN = [snippet for snippet in all_snippets() if snippet.is_run]
PAGES = [(page, list(blocks)) for page, blocks in groupby(RUN, key=lambda one: one.page)]


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    """A folder of models with the starter in it."""
    home = tmp_path_factory.mktemp("docs") / "home"
    with RealDaemon(home) as daemon:
        assert daemon.ask("POST", "/api/pull", {"model": "smollm2"}).lines[-1]["status"]
    return home / "models"


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("page", "blocks"), PAGES, ids=[page for page, _ in PAGES])
def test_what_a_page_says_works(page, blocks, tmp_path, library):
    with Reader(tmp_path, library, blocks) as reader:
        for snippet in blocks:
            reader.type(snippet)
