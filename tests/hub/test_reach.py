"""Whether a host answers is known soon, whatever swallows the packets."""

import contextlib
import socket

import pytest

from runner.hub.reach import Reach


class SteppedClock:
    """Goes on by a fixed step with every look, so that no test waits for real."""

    def __init__(self, step_s: float) -> None:
        self.now, self.step_s = 0.0, step_s

    def __call__(self) -> float:
        self.now += self.step_s
        return self.now


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def full_port():
    """A port whose queue is full: whoever connects waits, as before a wall that drops packets."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        yield server.getsockname()[1]


def test_a_host_that_listens_is_reached_and_trusted_for_a_while(hub):
    clock = SteppedClock(0.001)
    reach = Reach(clock=clock)
    reach.check(hub.url)
    hub._hub.shutdown()
    hub._hub.server_close()
    reach.check(hub.url)
    clock.now += 61
    with pytest.raises(OSError, match="refused"):
        reach.check(hub.url)


def test_a_port_where_nothing_listens_is_told_at_once(unused_port):
    with pytest.raises(ConnectionRefusedError):
        Reach(patience_s=60).check(f"http://127.0.0.1:{unused_port}")


@pytest.mark.skipif(not hasattr(socket, "SO_REUSEPORT"), reason="queues are full otherwise there")
def test_a_host_that_says_nothing_is_given_up_in_time(full_port):
    with pytest.raises(TimeoutError, match="no answer within 7 seconds"):
        Reach(patience_s=7, clock=SteppedClock(2.0)).check(f"http://127.0.0.1:{full_port}")


def test_every_address_is_tried_until_one_answers(hub, unused_port, monkeypatch):
    """The first is refused, the second is no address of this machine, the third answers."""
    port = int(hub.url.rpartition(":")[2])
    rows = [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", unused_port, 0, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", unused_port)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: rows)
    Reach(patience_s=60).check("https://many.example")


def test_a_host_that_has_no_address_is_told(monkeypatch):
    def none(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", none)
    with pytest.raises(OSError, match="Name or service not known"):
        Reach().check("https://nowhere.example")


@pytest.mark.parametrize("url", ["https://a..b", "http://" + "x" * 70 + ".example", "http://[::1"])
def test_no_address_at_all_is_an_error_of_ours_or_the_clients(url):
    with pytest.raises((OSError, ValueError)):
        Reach(patience_s=5).check(url)


def test_before_a_proxy_nobody_is_asked(unused_port, monkeypatch):
    """Names may be known to the proxy alone."""
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{unused_port}")
    Reach().check("https://known-to-the-proxy.example")
