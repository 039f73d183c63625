"""The proxy of the settings, as each of those who ask a hub finds it."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from runner.hub.connection import proxy_for
from runner.hub.huggingface import HuggingFace
from runner.hub.modelscope import ModelScope
from runner.hub.proxied import name_proxy


@pytest.fixture
def proxy(monkeypatch):
    """A proxy that knows every host; its ``asked`` has the addresses that were asked through it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"[]" if "/api/models" in self.path else b"{}")

        do_PUT = do_POST = do_GET

        def log_message(self, *_):
            """Quiet."""

    asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked = asked
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_without_a_proxy_the_environment_stays_as_it_is():
    environ = {"HTTPS_PROXY": "http://theirs:1"}
    name_proxy("", environ)
    assert environ == {"HTTPS_PROXY": "http://theirs:1"}


def test_what_the_user_says_of_hosts_without_a_proxy_stays():
    environ = {"no_proxy": "hub.lan"}
    name_proxy("http://ours:2", environ)
    assert environ["no_proxy"] == "hub.lan"
    assert "NO_PROXY" not in environ
    assert {environ[name] for name in ("http_proxy", "HTTPS_PROXY")} == {"http://ours:2"}


def test_both_hubs_and_downloads_go_through_it(proxy, monkeypatch):
    named = {}
    name_proxy(f"http://127.0.0.1:{proxy.server_port}", named)
    for name, value in named.items():
        monkeypatch.setenv(name, value)
    environ = {"HF_ENDPOINT": "http://hub.test", "MODELSCOPE_ENDPOINT": "http://scope.test"}
    from huggingface_hub import close_session

    close_session()  # the client looks for a proxy when it begins a session
    try:
        HuggingFace(environ).search("tiny", 3)
        ModelScope(environ=environ).search("tiny", 3)
    except Exception as error:  # what the proxy answers is nonsense to one of them
        assert "reach" not in str(error)
    finally:
        close_session()
    hosts = {path.split("/")[2] for path in proxy.asked}
    assert hosts == {"hub.test", "scope.test"}
    assert proxy_for("https", "hub.test") == f"http://127.0.0.1:{proxy.server_port}"
    assert proxy_for("http", "127.0.0.1:80") == ""
