"""Nothing leaves the machine unless it is asked for: a proxy that counts hears of no request."""

from __future__ import annotations

import socket
import threading

import pytest

from tests.live.talk import answers_well
from tests.real_daemon import RealDaemon

pytestmark = pytest.mark.live


class Trap:
    """A proxy for everything; whoever comes is counted, and turned away."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Trap:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with socket.create_connection(self._server.getsockname()) as last:
            last.sendall(b"end\r\n")
        self._thread.join()
        self._server.close()

    def _serve(self) -> None:
        while True:
            connection, _ = self._server.accept()
            with connection:
                line = connection.recv(4096).split(b"\r\n")[0]
                if line == b"end":
                    return
                self.asked.append(line)
                connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")


def test_only_what_asks_a_hub_reaches_the_network(tmp_path, tiny):
    with Trap() as trap:
        names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
        proxies = dict.fromkeys(names, trap.url)
        with RealDaemon(tmp_path / "home", **proxies, NO_PROXY="127.0.0.1") as daemon:
            daemon.take_in(tiny, "tiny")
            answers_well(daemon)
            for path in ("/api/tags", "/api/ps", "/api/du", "/api/jobs", "/api/cache", "/metrics"):
                assert daemon.ask("GET", path).status == 200
            assert daemon.ask("POST", "/api/verify", {"deep": True}).status == 200
            assert daemon.ask("POST", "/api/show", {"model": "tiny"}).status == 200
            assert daemon.ask("POST", "/api/chat", {"model": "nowhere"}).status == 404
            assert trap.asked == []
            daemon.ask("GET", "/api/search?q=tiny")
        assert any(b"huggingface.co" in line for line in trap.asked), trap.asked
        assert any(b"modelscope.cn" in line for line in trap.asked), trap.asked
