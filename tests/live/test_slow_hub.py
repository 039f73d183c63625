"""A hub that takes connections and never answers: who waits for it, waits alone."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.fakes.hub import FakeHub
from tests.live.talk import answers_well
from tests.real_daemon import RealDaemon, wait_for

pytestmark = pytest.mark.live

N = 20


def test_lists_and_answers_go_on_while_many_wait_for_a_hub(tmp_path, tiny):
    """Twenty pulls that were cancelled and twenty searches hang; none has come back before."""
    with FakeHub() as hub, contextlib.ExitStack() as stack:
        for number in range(N):
            hub.add(f"own/slow-{number}-GGUF", {"slow-Q4_K_M.gguf": b"GGUF" * 64}, fault="slow")
        asking = stack.enter_context(ThreadPoolExecutor(N))
        daemon = stack.enter_context(RealDaemon(tmp_path / "home", **hub.environ()))
        daemon.take_in(tiny, "tiny")
        for number in range(N):
            asked = {"kind": "pull", "model": f"hf.co/own/slow-{number}-GGUF"}
            job = daemon.ask("POST", "/api/jobs", asked).json
            assert daemon.ask("DELETE", f"/api/jobs/{job['id']}").status < 300
        n_before = len(hub.requests)
        searches = [
            asking.submit(daemon.ask, "GET", f"/api/search?q=slow-{number}") for number in range(N)
        ]
        wait_for(lambda: len(hub.requests) > n_before, "a search to reach the hub")
        for path in ("/api/version", "/api/tags", "/api/jobs", "/api/du"):
            assert daemon.ask("GET", path).status == 200
        answers_well(daemon)
        assert not any(search.done() for search in searches)
        assert daemon.stop() == 0
        assert "Traceback" not in daemon.log
