"""A pull and all that the daemon builds around it, with one file to fetch."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import aclosing

from runner.domain.name import ModelName
from runner.hub.source import Candidate, RemoteFile
from runner.hub.throttle import Throttle
from runner.service.downloads import Downloads
from runner.service.jobs import JobService
from runner.service.pull import PullService
from runner.store.arrival import discard_arrival
from runner.store.state import JobTable
from tests.hub.fetching import QUICK

NAME = ModelName.parse("hf.co/owner/tiny:Q4_0")
PATH = "/tiny.gguf"


class OneFile:
    """A source with one file, at the places given."""

    def __init__(self, content, *urls, sha256=None):
        self.content, self.urls = content, urls
        self.sha256 = sha256 or hashlib.sha256(content).hexdigest()

    def claims(self, name):
        return name.host == "hf.co"

    def resolve(self, name):
        first, *others = self.urls
        return [
            RemoteFile(
                name="tiny.gguf",
                location=first,
                is_local=False,
                n_bytes=len(self.content),
                sha256=self.sha256,
                provenance={"source": "hf.co", "revision": "abc"},
                candidates=tuple(Candidate(url) for url in others),
            )
        ]


class House:
    """What the daemon builds around pulls; ``again`` builds it anew, as after a restart."""

    def __init__(self, library, source, folder):
        self.library, self.source, self.folder = library, source, folder

    async def __aenter__(self):
        throttle = Throttle()
        partial = self.library.blobs.partial
        self.jobs = JobService(
            JobTable(self.folder / "state.sqlite"),
            lambda key: discard_arrival(partial, key),
            throttle,
        )
        self.downloads = Downloads(self.library, throttle, patience=QUICK)
        self.pulls = PullService(self.library, [self.source], self.jobs, self.downloads)
        await self.pulls.restore()
        return self

    async def __aexit__(self, *_):
        await self.jobs.close()

    async def follow(self):
        async with aclosing(self.pulls.pull(NAME)) as steps:
            return [step async for step in steps]

    @property
    def job(self):
        return self.jobs.list_jobs()[0]


def run(story):
    asyncio.run(story())


def partials(library):
    folder = library.blobs.partial
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []
