"""One daemon for all live tests, with the starter model and some tiny ones."""

from __future__ import annotations

import pytest

from tests.fakes.models import tiny_model
from tests.real_daemon import RealDaemon


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A model that speaks without end, some thousand tokens a second."""
    return tiny_model(tmp_path_factory.mktemp("models") / "tiny.gguf", n_ctx_train=65536)


@pytest.fixture(scope="session")
def daemon(tmp_path_factory, tiny):
    with RealDaemon(tmp_path_factory.mktemp("live") / "home") as daemon:
        reply = daemon.ask("POST", "/api/pull", {"model": "smollm2"})
        assert reply.lines[-1]["status"] == "success"
        daemon.take_in(tiny, "tiny")
        yield daemon


@pytest.fixture
def own_daemon(tmp_path, tiny):
    """A daemon that a test may break."""
    daemon = RealDaemon(tmp_path / "home").start()
    daemon.take_in(tiny, "tiny")
    yield daemon
    daemon.stop()


@pytest.fixture
def daemon_of_one(tmp_path, tiny):
    """A daemon whose models answer one request at a time, while two may wait."""
    limits = {"CORRAL_NUM_PARALLEL": "1", "CORRAL_MAX_QUEUE": "2"}
    with RealDaemon(tmp_path / "home", **limits) as daemon:
        daemon.take_in(tiny, "tiny")
        yield daemon
