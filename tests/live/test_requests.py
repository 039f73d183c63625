"""Requests as the whole house handles them: classes, deadlines, the list, cancelling."""

from __future__ import annotations

import json
import threading

import pytest

from tests.live.talk import PATHS, ask, error_of, flat, question, started
from tests.real_daemon import wait_for

pytestmark = pytest.mark.live


def listed(daemon) -> list[dict]:
    return daemon.ask("GET", "/api/requests").json["requests"]


@pytest.mark.parametrize("dialect", PATHS)
def test_a_request_is_listed_and_cancelled_and_its_client_told(daemon, dialect):
    with daemon.stream(PATHS[dialect], question(dialect, n_most=60_000)) as answer:
        started(dialect, answer)
        (row,) = listed(daemon)
        assert (row["model"], row["state"], row["position"]) == ("tiny:latest", "generating", 0)
        assert row["n_prompt"] > 0
        assert row["n_generated"] > 0
        assert row["client"].startswith("127.0.0.1:")
        reply = daemon.ask("DELETE", f"/api/requests/{row['id']}")
        assert reply.json == {"cancelled": row["id"]}
        told = error_of(dialect, answer.rest())
        assert (told["message"], told["code"]) == ("request canceled", "cancelled")
    assert listed(daemon) == []
    assert daemon.ask("DELETE", f"/api/requests/{row['id']}").status == 404


@pytest.mark.parametrize("dialect", PATHS)
def test_an_answer_wanted_whole_that_is_cancelled_is_an_error(daemon, dialect):
    replies = []
    body = question(dialect, stream=False, n_most=60_000)
    asking = threading.Thread(
        target=lambda: replies.append(daemon.ask("POST", PATHS[dialect], body))
    )
    asking.start()
    wait_for(lambda: listed(daemon), "the request to arrive")
    daemon.ask("DELETE", f"/api/requests/{listed(daemon)[0]['id']}")
    asking.join(60)
    assert replies[0].status == 499
    assert flat(dialect, replies[0].json)["message"] == "request canceled"


@pytest.mark.parametrize("dialect", PATHS)
def test_an_answer_ends_with_its_deadline(daemon, dialect):
    ask(daemon, dialect, stream=False, n_most=1)  # it is loaded
    with daemon.stream(PATHS[dialect], question(dialect, n_most=60_000, deadline_s=1.5)) as answer:
        started(dialect, answer)
        told = error_of(dialect, answer.rest())
    assert told["code"] == "deadline_exceeded"
    assert "(1.5 seconds)" in told["message"]
    assert "tokens" in told["message"]
    late = ask(daemon, dialect, stream=False, n_most=60_000, deadline_s=0.0001)
    assert late.status == 504
    assert flat(dialect, late.json)["code"] == "deadline_exceeded"
    assert "Retry-After" not in late.headers


def test_a_class_goes_before_those_that_came_earlier(daemon_of_one):
    """One place: the batch answer gives way, the chat is answered, the batch answer goes on."""
    daemon = daemon_of_one
    with daemon.stream("/api/chat", question("ollama", n_most=8000, priority="batch")) as batch:
        started("ollama", batch)
        reply = ask(daemon, "openai", stream=False, n_most=5, priority="interactive")
        assert reply.json["usage"]["completion_tokens"] == 5
        (row,) = listed(daemon)
        assert row["priority"] == "batch"
        last = json.loads(batch.rest()[-1])
    assert last["done"]
    assert last["eval_count"] == 8000


def test_who_waits_has_a_position(daemon_of_one):
    daemon = daemon_of_one
    with daemon.stream("/api/chat", question("ollama", n_most=60_000)) as runs:
        started("ollama", runs)
        waiting = []
        for n_before, priority in enumerate(("batch", "api"), start=1):
            connection = daemon.send("POST", "/api/chat", question("ollama", priority=priority))
            waiting.append(connection)
            wait_for(lambda n=n_before: len(listed(daemon)) > n, "it to arrive")

        def places() -> list:
            return [(r["priority"], r["state"], r["position"]) for r in listed(daemon)]

        expected = [("api", "generating", 0), ("api", "queued", 1), ("batch", "queued", 2)]
        wait_for(lambda: places() == expected, "the queue to be in order")
        for connection in waiting:
            connection.close()
    wait_for(lambda: not listed(daemon), "all to be gone")


def test_a_full_queue_says_how_many_wait_and_when_to_come_back(daemon_of_one):
    daemon = daemon_of_one
    with daemon.stream("/api/chat", question("ollama", n_most=60_000)) as runs:
        started("ollama", runs)
        waiting = [daemon.send("POST", "/api/chat", question("ollama")) for _ in range(2)]
        wait_for(lambda: len(listed(daemon)) == 3, "the queue to be full")
        for dialect in PATHS:
            reply = ask(daemon, dialect, stream=False)
            assert reply.status == 503
            assert int(reply.headers["Retry-After"]) >= 1
            told = flat(dialect, reply.json)
            assert told["code"] == "queue_full"
            assert "(2 are waiting)" in told["message"]
            assert "would have been number 3" in told["hint"]
            assert told["queue_position"] == 3
        body = {"model": "tiny", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
        reply = daemon.ask("POST", "/v1/messages", body)
        assert (reply.status, reply.json["error"]["type"]) == (503, "overloaded_error")
        assert int(reply.headers["Retry-After"]) >= 1
        assert "(2 are waiting)" in reply.json["error"]["message"]
        assert reply.json["error"]["queue_position"] == 3
        for connection in waiting:
            connection.close()
    wait_for(lambda: not listed(daemon), "all to be gone")
