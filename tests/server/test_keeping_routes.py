"""Keys, settings, secrets, log and machine over HTTP."""

from __future__ import annotations

import asyncio

import pytest

from runner.domain.key import Scope
from tests.server.serving import OWNER


def ask(house, method, path, body=None):
    return house.ask(method, path, body, headers=OWNER)


def test_a_keys_secret_is_told_once(house):
    body = {"name": "laptop", "scopes": ["infer", "Manage"], "models": ["qwen3:*"],
            "requests_per_minute": 60, "expires": "30d"}  # fmt: skip
    reply = ask(house, "POST", "/api/keys", body)
    assert reply.status == 201
    assert reply.json["key"] == "corral-new"
    assert reply.headers["Cache-Control"] == "no-store"
    (asked,) = house.keys.added
    assert asked.scopes == {Scope.INFER, Scope.MANAGE}
    assert (asked.models, asked.n_per_minute) == (("qwen3:*",), 60)
    listed = ask(house, "GET", "/api/keys")
    assert b"corral-" not in listed.body
    assert [row["name"] for row in listed.json["keys"]] == ["admin", "manage", "infer"]
    assert listed.json["keys"][0]["created_at"] == "2023-11-14T22:13:20.000000000Z"


@pytest.mark.parametrize(
    ("change", "field"),
    [({"name": ""}, "name"), ({"name": "a\nb"}, "name"), ({"name": "x" * 81}, "name"),
     ({"scopes": []}, "scopes"), ({"scopes": ["root"]}, "scopes"), ({"scopes": "infer"}, "scopes"),
     ({"models": ["a b"]}, "models"), ({"models": ["../x"]}, "models"),
     ({"requests_per_minute": -1}, "requests_per_minute"), ({"expires": "yesterday"}, "expires"),
     ({"expires": "2001-01-01"}, "expires"), ({"expires": "0s"}, "expires"),
     ({"expires": "99999d"}, "expires"), ({"expires": 5}, "expires")],
)  # fmt: skip
def test_a_bad_field_of_a_key_is_named(house, change, field):
    reply = ask(house, "POST", "/api/keys", {"name": "x"} | change)
    if change == {"expires": "99999d"}:
        assert reply.status == 201  # two centuries and a half: a date like any other
        return
    assert reply.status == 400
    assert f"'{field}" in reply.json["error"]
    assert house.keys.added == []


def test_a_revoked_key_is_gone_and_an_unknown_one_is_404(house):
    assert ask(house, "DELETE", "/api/keys/infer-id").json == {"revoked": "infer-id"}
    reply = ask(house, "DELETE", "/api/keys/infer-id")
    assert (reply.status, reply.json["code"]) == (404, "key_not_found")


def test_settings_are_shown_and_changed(house):
    (row,) = ask(house, "GET", "/api/settings").json["settings"]
    assert row["name"] == "keep_alive"
    assert row["live"] is True
    reply = ask(house, "PATCH", "/api/settings", {"keep_alive": "10m", "hub": None})
    assert reply.status == 200
    assert house.settings.changes == [{"keep_alive": "10m", "hub": None}]
    assert ask(house, "PATCH", "/api/settings", ["keep_alive"]).status == 400


def test_a_secret_is_written_and_never_read(house):
    assert ask(house, "PUT", "/api/secrets/hf", {"value": "hf_abc"}).json["set"] is True
    assert house.secrets.values == {"hf": "hf_abc"}
    shown = ask(house, "GET", "/api/settings")
    assert shown.json["secrets"] == {"hf": True}
    assert b"hf_abc" not in shown.body
    assert ask(house, "GET", "/api/secrets/hf").status == 405
    assert ask(house, "PUT", "/api/secrets/hf", {"value": None}).json["set"] is False
    assert house.secrets.values == {}
    assert ask(house, "PUT", "/api/secrets/hf", {}).status == 400


def test_the_machine_tells_memory_devices_and_limits(house):
    told = house.ask("GET", "/api/machine").json
    assert (told["memory"], told["memory_available"], told["cores"]) == (8000, 4000, 2)
    assert told["devices"][0]["kind"] == "cpu"
    assert told["limits"] == {"max_queue": 512}
    assert told["unused_cards"] == [
        {"vendor": "AMD", "needs": "the Vulkan SDK", "command": "pip install it"}
    ]


def test_the_log_ends_with_the_lines_asked_for(house):
    assert ask(house, "GET", "/api/logs").body == b"one\ntwo\nthree\n"
    assert ask(house, "GET", "/api/logs?lines=1").body == b"three\n"
    assert ask(house, "GET", "/api/logs?lines=x").status == 400


def test_a_followed_log_goes_on(house):
    async def story():
        async with (
            house.serve() as session,
            session.get("/api/logs?follow=true&lines=1", headers=OWNER) as response,
        ):
            assert await response.content.readline() == b"three\n"
            house.logs.more.put_nowait("four")
            assert await response.content.readline() == b"four\n"
            house.logs.more.put_nowait(None)
            assert await response.content.read() == b""

    asyncio.run(story())
