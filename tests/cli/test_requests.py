"""``corral ps --requests`` and ``corral cancel`` as a user runs them."""

import json


def test_ps_lists_requests_with_their_place(corral):
    heads, row = corral("ps", "--requests").out.splitlines()
    assert heads.split() == [
        "ID",
        "MODEL",
        "STATE",
        "CLASS",
        "CLIENT",
        "PROMPT",
        "CACHED",
        "GENERATED",
        "TIME",
    ]
    assert row.split()[:5] == ["7", "smollm2:latest", "queued", "2", "batch"]
    assert row.split()[5:9] == ["127.0.0.1:4711", "30", "20", "0"]
    assert len(corral("ps", "--requests", "qwen").out.splitlines()) == 1


def test_the_requests_as_json_have_the_documented_keys(corral):
    (value,) = json.loads(corral("ps", "--requests", "--json").out)
    help_text = corral("ps", "--help").out.partition("--requests --json prints")[2]
    documented = help_text.partition(":")[2].partition("position 1 is")[0].split()
    assert sorted(value) == sorted(documented)
    assert value["position"] == 2


def test_a_request_is_cancelled_by_its_id(corral, daemon):
    done = corral("cancel", "7")
    assert done.returncode == 0
    assert "cancelled request 7" in done.err
    assert daemon.script.requests == []
    again = corral("cancel", "7")
    assert again.returncode == 1
    assert "error: no request '7' runs or waits" in again.err


def test_run_asks_as_somebody_who_looks_on(corral, daemon):
    assert corral("run", "smollm2", "Why?").returncode == 0
    assert daemon.bodies("/api/chat")[-1]["priority"] == "interactive"
