"""``/api/quantize``, ``perplexity``, ``bench`` and ``quality`` as clients see them."""

from __future__ import annotations

import pytest

from runner.client import decode, decode_measuring
from runner.domain.name import ModelName
from runner.errors import BadModelFile
from tests.fakes.making import BENCH, QUALITY
from tests.server.serving import OWNER

QUANTIZE = "/api/quantize"


@pytest.mark.parametrize("types", [None, ["q4_k_m"], ["Q4_K"]])
def test_a_job_comes_back(house, types):
    reply = house.ask("POST", QUANTIZE, {"model": "tiny", "types": types})
    assert reply.status == 201
    assert decode.job(reply.json).kind == "quantize"
    (request,) = house.making.quantizes.asked
    assert (str(request.source), request.types) == ("tiny:latest", ("Q4_K_M",))


def test_every_field_arrives(house):
    body = {
        "model": "tiny",
        "types": ["Q8_0", "fp16"],
        "name": "mine",
        "tensors": {"ffn": "q8_0"},
        "imatrix": f"sha256:{'AB' * 32}",
        "requantize": True,
        "dry_run": True,
    }
    reply = house.ask("POST", QUANTIZE, body)
    (request,) = house.making.quantizes.asked
    assert request.types == ("Q8_0", "F16")
    assert (request.name, request.tensors) == (ModelName.parse("mine"), (("ffn", "q8_0"),))
    assert (request.imatrix, request.requantizes) == (f"sha256:{'ab' * 32}", True)
    plan = reply.json
    assert (reply.status, plan["dry_run"], plan["ok"]) == (200, True, True)
    assert plan["targets"][0] == {
        "type": "Q4_K_M",
        "name": "tiny:q4_k_m",
        "size": 40,
        "memory": 50,
        "context": 4096,
        "bits_per_weight": 4.5,
        "tensors": {"Q4_K": 3},
        "exists": False,
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"types": []}, "types"),
        ({"types": ["Q9_9"]}, "no type 'Q9_9'"),
        ({"types": "Q8_0"}, "types"),
        ({"tensors": {"": "q8_0"}}, "tensors"),
        ({"imatrix": "relative.gguf"}, "imatrix"),
        ({"name": "a b"}, "invalid model name"),
        ({"model": ""}, "model"),
    ],
)
def test_a_bad_field_is_named(house, change, words):
    reply = house.ask("POST", QUANTIZE, {"model": "tiny", **change})
    assert reply.status == 400
    assert words in reply.json["error"]
    assert house.making.quantizes.asked == []


def test_a_path_is_for_the_owner(house, tmp_path):
    body = {"model": "tiny", "imatrix": str(tmp_path / "x.gguf")}
    assert house.ask("POST", QUANTIZE, body).status == 403
    assert house.ask("POST", QUANTIZE, body, headers=OWNER).status == 201


def test_a_file_that_cannot_be_used_is_the_callers_own(house):
    house.making.quantizes.error = BadModelFile("tensor 'x' is bad")
    reply = house.ask("POST", QUANTIZE, {"model": "tiny"})
    assert (reply.status, reply.json["error"]) == (400, "tensor 'x' is bad")


def test_a_measurement_is_a_job(house):
    body = {"model": "tiny", "source": "big", "text": "words", "window": 64, "windows": 3}
    reply = house.ask("POST", "/api/perplexity", body)
    assert (reply.status, reply.json["kind"]) == (201, "perplexity")
    (request,) = house.making.measures.asked
    assert (str(request.model), str(request.source)) == ("tiny:latest", "big:latest")
    assert (request.text, request.n_ctx, request.n_windows) == ("words", 64, 3)


def test_a_bench_is_a_job(house):
    body = {"model": "tiny", "depths": [0, 9], "concurrencies": [2], "repeats": 1}
    reply = house.ask("POST", "/api/bench", body)
    assert (reply.status, reply.json["kind"]) == (201, "bench")
    (request,) = house.making.measures.asked
    assert (request.depths, request.concurrencies, request.n_repeats) == ((0, 9), (2,), 1)
    assert request.n_prompt == 256


@pytest.mark.parametrize(
    ("path", "change", "param"),
    [
        ("perplexity", {"window": 1}, "window"),
        ("perplexity", {"windows": -1}, "windows"),
        ("perplexity", {"text": "  "}, "text"),
        ("perplexity", {"source": "a b"}, "invalid model name"),
        ("bench", {"depths": []}, "depths"),
        ("bench", {"depths": [-1]}, "depths"),
        ("bench", {"concurrencies": [0]}, "concurrencies"),
        ("bench", {"prompt": 0}, "prompt"),
        ("bench", {"generate": 1}, "generate"),
        ("bench", {"repeats": 99}, "repeats"),
        ("bench", {"depths": list(range(50))}, "depths"),
    ],
)
def test_a_bad_field_of_a_measurement_is_named(house, path, change, param):
    reply = house.ask("POST", f"/api/{path}", {"model": "tiny", **change})
    assert reply.status == 400
    assert param in reply.json["error"]


def test_what_was_measured_comes_back_as_it_was(house):
    found = house.ask("GET", "/api/quality?model=tiny")
    assert decode_measuring.qualities(found.json) == [QUALITY]
    found = house.ask("GET", "/api/bench?model=tiny")
    assert decode_measuring.benches(found.json) == [BENCH]
    assert house.making.measures.asked == [ModelName.parse("tiny")] * 2


@pytest.mark.parametrize("path", ["/api/quality", "/api/bench", "/api/quality?model=a%20b"])
def test_a_model_must_be_named(house, path):
    assert house.ask("GET", path).status == 400
