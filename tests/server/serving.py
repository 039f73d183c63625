"""A server on a real socket, run as the daemon runs it, with fakes behind."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

from runner.server.access import Access
from runner.server.app import make_app, runner_for
from runner.server.connections import Limits
from runner.server.making import Making
from runner.server.needs import Needs
from runner.service.jobs import JobService
from tests.fakes.folders import FakeFolders
from tests.fakes.front import (
    FakeDevices,
    FakeKeys,
    FakeLogs,
    FakeMachine,
    FakeSecrets,
    FakeSettings,
)
from tests.fakes.making import fake_making
from tests.fakes.service import (
    FakeBlobs,
    FakeCache,
    FakeCreates,
    FakeInference,
    FakeModels,
    FakePrompts,
    FakePulls,
    FakeRequests,
    FakeSearches,
    FakeStorage,
)

TOKEN = "owner-token-of-this-test"
OWNER = {"Authorization": f"Bearer {TOKEN}"}


@dataclass
class House:
    """One server and what stands behind it; ``async with house.serve()`` opens it."""

    inference: FakeInference = field(default_factory=FakeInference)
    prompts: FakePrompts = field(default_factory=FakePrompts)
    blobs: FakeBlobs = field(default_factory=FakeBlobs)
    models: FakeModels = field(default_factory=FakeModels)
    cache: FakeCache = field(default_factory=FakeCache)
    pulls: FakePulls = field(default_factory=FakePulls)
    creates: FakeCreates = field(default_factory=FakeCreates)
    making: Making = field(default_factory=fake_making)
    searches: FakeSearches = field(default_factory=FakeSearches)
    storage: FakeStorage = field(default_factory=FakeStorage)
    places: FakeFolders = field(default_factory=FakeFolders)
    requests: FakeRequests = field(default_factory=FakeRequests)
    jobs: JobService = field(default_factory=JobService)
    keys: FakeKeys = field(default_factory=FakeKeys)
    settings: FakeSettings = field(default_factory=FakeSettings)
    secrets: FakeSecrets = field(default_factory=FakeSecrets)
    devices: FakeDevices = field(default_factory=FakeDevices)
    machine: FakeMachine = field(default_factory=FakeMachine)
    logs: FakeLogs = field(default_factory=FakeLogs)
    limits: Limits = field(default_factory=Limits)
    needs_key: bool = False
    folders: tuple[str, ...] = ()
    loopback_only: bool = True
    origins: tuple[str, ...] = ()
    shutdowns: list[str] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def needs(self) -> Needs:
        """What stands behind."""
        return Needs(
            inference=self.inference,
            prompts=self.prompts,
            blobs=self.blobs,
            models=self.models,
            cache=self.cache,
            pulls=self.pulls,
            creates=self.creates,
            making=self.making,
            searches=self.searches,
            storage=self.storage,
            folders=self.places,
            requests=self.requests,
            jobs=self.jobs,
            keys=self.keys,
            settings=self.settings,
            secrets=self.secrets,
            devices=self.devices,
            machine=self.machine,
            logs=self.logs,
            version="9.8.7",
            request_shutdown=lambda: self.shutdowns.append("asked"),
        )

    def access(self) -> Access:
        """Who may call."""
        return Access(
            owner_token=TOKEN,
            loopback_only=self.loopback_only,
            origins=self.origins,
            hostname="mybox",
            needs_key=self.needs_key,
            folders=self.folders,
        )

    @asynccontextmanager
    async def serve(self):
        app = make_app(self.needs(), self.access(), self.limits)
        runner = runner_for(app, grace_s=0.5)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        try:
            async with aiohttp.ClientSession(self.url) as session:
                yield session
        finally:
            await runner.cleanup()

    def ask(self, method, path, body=None, *, raw=None, headers=None):
        """Serve one request and return its ``Reply``."""

        async def once():
            async with self.serve() as session:
                return await call(session, method, path, body, raw=raw, headers=headers)

        return asyncio.run(once())


@dataclass
class Reply:
    status: int
    headers: dict
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def lines(self):
        """Objects of an NDJSON stream; every line must be one."""
        assert self.body.endswith(b"\n")
        return [json.loads(line) for line in self.body.decode().splitlines()]

    @property
    def frames(self):
        """Objects of an SSE stream, which must end with ``[DONE]``."""
        frames = self.body.decode().split("\n\n")
        assert frames.pop() == ""
        assert all(frame.startswith("data: ") and "\n" not in frame for frame in frames)
        assert frames.pop() == "data: [DONE]"
        return [json.loads(frame.removeprefix("data: ")) for frame in frames]


async def call(session, method, path, body=None, *, raw=None, headers=None):
    data = json.dumps(body).encode() if raw is None and body is not None else raw
    async with session.request(method, path, data=data, headers=headers) as response:
        reply = Reply(response.status, dict(response.headers), await response.read())
    # Here, since it makes a house of its own.
    from tests.server.conforming import check

    check(method, str(path), reply.status, response.content_type, reply.body)
    return reply
