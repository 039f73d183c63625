"""Requests listed and cancelled, and what the connection adds to a request's terms."""

from __future__ import annotations

import asyncio

import pytest

from runner.domain.request import Priority

BODIES = [
    ("/api/chat", {"model": "smollm2", "messages": [{"role": "user", "content": "Hi"}]}),
    ("/api/generate", {"model": "smollm2", "prompt": "Hi"}),
    (
        "/v1/chat/completions",
        {"model": "smollm2", "messages": [{"role": "user", "content": "Hi"}]},
    ),
]


def test_requests_are_listed(house):
    told = house.ask("GET", "/api/requests").json["requests"]
    assert [(r["id"], r["state"], r["position"]) for r in told] == [
        ("1", "generating", 0),
        ("2", "queued", 1),
    ]
    assert told[0] == {
        "id": "1",
        "model": "smollm2:latest",
        "state": "generating",
        "position": 0,
        "priority": "batch",
        "client": "127.0.0.1:4711",
        "n_prompt": 30,
        "n_cached": 20,
        "n_generated": 10,
        "started": "2023-11-14T22:13:20.250000000Z",
        "seconds": 1.5,
    }


def test_a_request_is_cancelled_by_its_id(house):
    reply = house.ask("DELETE", "/api/requests/1")
    assert (reply.status, reply.json) == (200, {"cancelled": "1"})
    assert [request.id for request in house.requests.listed] == ["2"]
    again = house.ask("DELETE", "/api/requests/1")
    assert again.status == 404
    assert again.json["code"] == "request_not_found"


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_web_page_may_neither_list_nor_cancel(house, method):
    path = "/api/requests" if method == "GET" else "/api/requests/1"
    reply = house.ask(method, path, headers={"Origin": "http://localhost:3000"})
    assert reply.status == 403


@pytest.mark.parametrize(("path", "body"), BODIES)
def test_the_header_sets_the_class_and_wins_over_the_field(house, path, body):
    house.ask("POST", path, body)
    house.ask("POST", path, body, headers={"X-Priority": " Interactive "})
    house.ask("POST", path, body | {"priority": "batch"})
    house.ask("POST", path, body | {"priority": "batch"}, headers={"X-Priority": "api"})
    found = [request.terms.priority for request in house.inference.requests]
    assert found == [Priority.API, Priority.INTERACTIVE, Priority.BATCH, Priority.API]


@pytest.mark.parametrize(("path", "body"), BODIES)
@pytest.mark.parametrize("value", ["urgent", "", "1"])
def test_a_header_that_names_no_class_is_refused_by_its_name(house, path, body, value):
    reply = house.ask("POST", path, body, headers={"X-Priority": value})
    assert reply.status == 400
    assert b"X-Priority must be one of interactive, api, batch" in reply.body
    assert not house.inference.requests


@pytest.mark.parametrize(("path", "body"), BODIES)
def test_a_connection_is_a_client(house, path, body):
    async def story():
        async with house.serve() as first:
            for _ in range(2):
                async with first.post(path, json=body) as reply:
                    await reply.read()
            async with first.post(path, json=body, headers={"Connection": "close"}) as reply:
                await reply.read()
            async with first.post(path, json=body) as reply:
                await reply.read()

    asyncio.run(story())
    clients = [request.terms.client_id for request in house.inference.requests]
    assert clients[0].startswith("127.0.0.1:")
    assert clients[0] == clients[1]
    assert clients[3] != clients[0]


def test_a_page_may_send_the_header(house):
    reply = house.ask(
        "OPTIONS",
        "/api/chat",
        headers={"Origin": "http://localhost:3000", "Access-Control-Request-Headers": "x-priority"},
    )
    assert "x-priority" in reply.headers["Access-Control-Allow-Headers"]
