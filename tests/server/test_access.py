"""Who may call, as rules and on the wire."""

from __future__ import annotations

import string

import pytest
from hypothesis import given, strategies as st

from runner.server.access import Access
from tests.server.serving import OWNER

CHAT = {"model": "smollm2", "messages": [{"role": "user", "content": "Hi"}], "stream": False}
PAGE = {"Origin": "http://localhost:3000"}


def access(**changed):
    rules = {"owner_token": "t", "loopback_only": True, "origins": (), "hostname": "mybox"}
    return Access(**(rules | changed))


@pytest.mark.parametrize(
    "host",
    ["", "localhost", "localhost:11434", "LOCALHOST", "localhost.", "127.0.0.1:80", "127.9.9.9",
     "[::1]:11434", "0.0.0.0", "192.168.1.7:11434", "mybox",
     "a.localhost", "x.local", "h.internal"],
)  # fmt: skip
def test_a_name_of_this_machine_may_come_in(host):
    assert access().allows_host(host)


@pytest.mark.parametrize(
    "host",
    ["evil.com", "evil.com:11434", "localhost.evil.com", "127.0.0.1.evil.com", "8.8.8.8", "[::1",
     "local", "xlocalhost", "[2606:4700::1111]", "evil.com#localhost", "localhost@evil.com"],
)  # fmt: skip
def test_any_other_name_is_a_trick_on_loopback_only(host):
    assert not access().allows_host(host)
    assert access(loopback_only=False).allows_host(host)


@pytest.mark.parametrize(
    "origin",
    ["http://localhost", "https://localhost:3000", "http://127.0.0.1:5173", "http://[::1]:8080",
     "http://0.0.0.0:1", "app://obsidian.md", "tauri://localhost", "vscode-webview://abc", "file://"],
)  # fmt: skip
def test_pages_and_apps_of_this_machine_may_call(origin):
    assert access().allows_origin(origin, "localhost")


@pytest.mark.parametrize(
    "origin",
    ["null", "", "https://evil.com", "http://localhost.evil.com", "http://evil.com:11434",
     "chrome-extension://abc", "http://127.0.0.1.evil.com", "app://\udcff",
     "http://localhost:3000.evil.com", "http://localhost:", "http://localhost:\u0661"],
)  # fmt: skip
def test_other_pages_may_not(origin):
    assert not access().allows_origin(origin, "evil.com:11434")


def test_configured_origins_may_call_with_wildcards():
    rules = access(origins=("https://*.example.org", "moz-extension://*"))
    assert rules.allows_origin("https://chat.example.org", "localhost")
    assert rules.allows_origin("moz-extension://1234", "localhost")
    assert not rules.allows_origin("https://chat.example.org.evil.com", "localhost")
    assert access(origins=("*",)).allows_origin("null", "localhost")


def test_a_page_the_daemon_serves_itself_may_call():
    assert access().allows_origin("http://192.168.1.7:11434", "192.168.1.7:11434")


@given(st.text(string.printable))
def test_only_the_token_makes_an_owner(text):
    assert not access(owner_token="").is_token(text)
    assert access(owner_token="secret").is_token(text) == (text == "secret")


@given(st.text(), st.text())
def test_no_header_breaks_the_rules(origin, host):
    assert access().allows_host(host) in (True, False)
    assert access().allows_origin(origin, host) in (True, False)


def test_a_foreign_host_is_refused_in_the_dialects_form(house):
    for path in ("/", "/api/tags", "/api/none"):
        reply = house.ask("GET", path, headers={"Host": "evil.com"})
        assert reply.status == 403
        assert reply.json["code"] == "forbidden"
    reply = house.ask("GET", "/v1/models", headers={"Host": "evil.com"})
    assert reply.json["error"]["type"] == "permission_error"


def test_a_foreign_page_may_do_nothing(house):
    headers = {"Origin": "https://evil.com"}
    assert house.ask("POST", "/api/chat", CHAT, headers=headers).status == 403
    assert house.ask("OPTIONS", "/api/chat", headers=headers).status == 403
    assert house.inference.requests == []


def test_a_page_of_this_machine_may_infer_and_is_told_so(house):
    for headers in (PAGE, PAGE | {"Authorization": "Bearer dummy"}):
        reply = house.ask("POST", "/api/chat", CHAT, headers=headers)
        assert reply.status == 200
        assert reply.headers["Access-Control-Allow-Origin"] == PAGE["Origin"]
        assert reply.headers["Vary"] == "Origin"
    stream = house.ask("POST", "/v1/chat/completions", CHAT | {"stream": True}, headers=PAGE)
    assert stream.headers["Access-Control-Allow-Origin"] == PAGE["Origin"]
    missing = house.ask("POST", "/api/chat", CHAT | {"model": "nope"}, headers=PAGE)
    assert missing.headers["Access-Control-Allow-Origin"] == PAGE["Origin"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", "/api/delete", {"model": "smollm2"}),
        ("POST", "/api/pull", {"model": "smollm2"}),
        ("POST", "/api/copy", {"source": "smollm2", "destination": "x"}),
        ("POST", "/api/show", {"model": "smollm2"}),
        ("GET", "/api/ps", None),
        ("POST", "/api/unload", {"model": "smollm2"}),
        ("POST", "/api/shutdown", None),
        ("POST", "/api/generate", {"model": "smollm2", "keep_alive": 0}),
    ],
)
def test_a_page_without_the_token_may_not_do_more(house, method, path, body):
    assert house.ask(method, path, body, headers=PAGE).status == 403
    assert house.ask(method, path, body, headers=PAGE | {"Authorization": "Bearer x"}).status == 403
    assert house.ask(method, path, body, headers=PAGE | OWNER).status == 200


def test_a_preflight_allows_what_the_clients_send(house):
    asked = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-stainless-new-thing, x-evil",
    }
    reply = house.ask("OPTIONS", "/v1/chat/completions", headers=PAGE | asked)
    assert reply.status == 204
    assert reply.headers["Access-Control-Allow-Origin"] == PAGE["Origin"]
    allowed = reply.headers["Access-Control-Allow-Headers"].split(", ")
    assert {
        "authorization", "content-type", "x-api-key", "anthropic-version", "x-stainless-lang",
        "x-stainless-new-thing",
    } <= set(allowed)  # fmt: skip
    assert "x-evil" not in allowed
    assert house.ask("OPTIONS", "/api/chat").status == 204
