"""``/api/load`` and ``/api/estimate`` over the wire."""

from __future__ import annotations

import json


def lines(answer):
    return [json.loads(line) for line in answer.body.splitlines()]


def test_a_load_streams_its_stages_and_its_end(house):
    answer = house.ask("POST", "/api/load", {"model": "smollm2", "keep_alive": 60, "pin": True})
    assert answer.status == 200
    told = lines(answer)
    assert [(line["status"], line["percent"]) for line in told] == [
        ("mapping", 0),
        ("upload", 50),
        ("success", 100),
    ]
    assert told[-1]["context_length"] == 2048
    assert told[-1]["pinned"] is True
    assert told[-1]["note"] == "keep_alive 60.0"


def test_without_a_stream_the_end_is_all(house):
    body = {"model": "smollm2", "stream": False}
    assert house.ask("POST", "/api/load", body).json["status"] == "success"


def test_bad_input_names_its_field(house):
    for body, word in (
        ({}, "model"),
        ({"model": "smollm2", "options": {"num_ctx": "x"}}, "num_ctx"),
        ({"model": "smollm2", "keep_alive": "soon"}, "duration"),
        ({"model": "smollm2", "pin": 3}, "pin"),
    ):
        answer = house.ask("POST", "/api/load", body)
        assert answer.status == 400, body
        assert word in answer.body.decode()
    assert house.ask("POST", "/api/load", {"model": "nope"}).status == 404


def test_an_estimate_tells_what_is_needed_and_what_would_help(house):
    body = {"model": "smollm2", "options": {"num_ctx": 4096}}
    told = house.ask("POST", "/api/estimate", body).json
    assert told["fits"] is False
    assert (told["needed"], told["free"], told["weights"], told["kv_cache"]) == (124, 100, 100, 20)
    assert (told["context_length"], told["context_length_asked"]) == (1024, 4096)
    assert told["advice"] == ["use a smaller quantization: Q4_K_M or below"]
    assert told["layers"] == 4
    assert told["devices"] == [{"name": "CUDA0", "layers": 3, "needed": 50, "free": 80}]
    assert told["note"] == "3 of 4 layers fit on CUDA0"
    assert house.ask("POST", "/api/estimate", {"model": "nope"}).status == 404
