"""Vectors and scores over HTTP, in each dialect's form, by hand and by the official clients."""

from __future__ import annotations

import base64
import math
import struct

import pytest

from runner.domain.request import Priority
from runner.errors import PromptTooLong

VECTORS = [[0.0, -0.5], [1.0, -0.5]]


def ask(house, path, **body):
    return house.ask("POST", path, {"model": "smollm2", **body})


def test_embed_answers_a_vector_for_each_input(house):
    reply = ask(house, "/api/embed", input=["a", "b"], keep_alive="2m", dimensions=2)
    assert reply.status == 200
    assert reply.json == {
        "model": "smollm2",
        "embeddings": VECTORS,
        "total_duration": 1_500_000_000,
        "load_duration": 250_000_000,
        "prompt_eval_count": 6,
        "truncated": [1],
    }
    (asked,) = house.inference.embeds
    assert (asked.inputs, asked.keep_alive, asked.n_dimensions) == (("a", "b"), 120, 2)
    assert asked.truncates
    assert asked.normalizes


def test_embed_takes_a_text_tokens_and_a_pooling(house):
    assert ask(house, "/api/embed", input="a").json["embeddings"] == [[0.0, -0.5]]
    assert ask(house, "/api/embed", input=[1, 2], truncate=False).status == 200
    reply = ask(house, "/api/embed", input="a", pooling="none")
    assert reply.json["embeddings"] == [[[0.0, -0.5], [0.0, -0.5]]]
    _, tokens, pooled = house.inference.embeds
    assert tokens.inputs == ((1, 2),)
    assert not tokens.truncates
    assert pooled.pooling == "none"


@pytest.mark.parametrize("empty", [{}, {"input": ""}, {"input": []}, {"input": None}])
def test_embed_without_input_loads_the_model(house, empty):
    reply = ask(house, "/api/embed", **empty, keep_alive=-1)
    assert reply.json["embeddings"] == []
    assert reply.json["load_duration"] == 250_000_000
    assert house.inference.loads[0][2] == math.inf


def test_the_older_call_has_one_vector_as_the_model_made_it(house):
    assert ask(house, "/api/embeddings", prompt="a").json == {"embedding": [0.0, -0.5]}
    assert not house.inference.embeds[0].normalizes
    assert ask(house, "/api/embeddings", prompt="").json == {"embedding": []}
    assert len(house.inference.loads) == 1


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/api/embed", {"input": 5}, "input"),
        ("/api/embed", {"input": ["a", 5]}, "input[1]"),
        ("/api/embed", {"input": [[]]}, "input[0]"),
        ("/api/embed", {"input": [[1, -2]]}, "input[0]"),
        ("/api/embed", {"input": "a", "dimensions": -1}, "dimensions"),
        ("/api/embed", {"input": "a", "truncate": "yes"}, "truncate"),
        ("/api/embed", {"input": "a", "pooling": "max"}, "pooling"),
        ("/api/embed", {"input": "a", "options": {"num_ctx": -1}}, "num_ctx"),
        ("/api/embed", {"input": "a", "options": {"num_ctx": 0}}, "exceeds maximum context length"),
        ("/api/embed", {"input": ["a"] * 2049}, "2049"),
        ("/api/embed", {"model": ""}, "model"),
        ("/api/embeddings", {"prompt": 5}, "prompt"),
        ("/v1/embeddings", {}, "input"),
        ("/v1/embeddings", {"input": ""}, "input"),
        ("/v1/embeddings", {"input": []}, "input"),
        ("/v1/embeddings", {"input": ["a", ""]}, "input"),
        ("/v1/embeddings", {"input": [True]}, "input[0]"),
        ("/v1/embeddings", {"input": "a", "dimensions": 0}, "dimensions"),
        ("/v1/embeddings", {"input": "a", "encoding_format": "hex"}, "encoding_format"),
        ("/v1/rerank", {"query": "q"}, "documents"),
        ("/v1/rerank", {"query": "q", "documents": []}, "documents"),
        ("/v1/rerank", {"query": "q", "documents": "a"}, "documents"),
        ("/v1/rerank", {"query": "q", "documents": [5]}, "documents[0]"),
        ("/v1/rerank", {"query": "q", "documents": [{}]}, "documents[0]"),
        ("/v1/rerank", {"documents": ["a"]}, "query"),
        ("/v1/rerank", {"query": "q", "documents": ["a"], "top_n": 0}, "top_n"),
        ("/v1/rerank", {"query": "q", "texts": [5]}, "texts[0]"),
        ("/v1/score", {"text_1": "q", "text_2": []}, "text_2"),
        ("/api/embed", {"input": "a", "priority": "first"}, "priority"),
        ("/api/embeddings", {"prompt": "a", "deadline_s": 0}, "deadline_s"),
        ("/v1/embeddings", {"input": "a", "deadline_s": -1}, "deadline_s"),
        ("/v1/rerank", {"query": "q", "documents": ["a"], "deadline_s": "x"}, "deadline_s"),
        ("/v1/score", {"text_1": "q", "text_2": "a", "priority": "x"}, "priority"),
    ],
)
def test_a_bad_field_is_refused_by_its_name(house, path, body, param):
    reply = ask(house, path, **body)
    assert reply.status == 400
    error = reply.json["error"]
    assert param in (error if isinstance(error, str) else f"{error['message']} {error['param']}")
    assert not house.inference.embeds
    assert not house.inference.reranks


@pytest.mark.parametrize("path", ["/api/embed", "/v1/embeddings"])
def test_a_model_that_is_not_there_is_404(house, path):
    assert ask(house, path, model="nothing", input="a").status == 404


def test_openai_gives_numbers_or_base64(house):
    reply = ask(house, "/v1/embeddings", input=["a", "b"])
    assert reply.json == {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": vector}
            for index, vector in enumerate(VECTORS)
        ],
        "model": "smollm2",
        "usage": {"prompt_tokens": 6, "total_tokens": 6},
    }
    assert not house.inference.embeds[0].truncates
    reply = ask(house, "/v1/embeddings", input=[[1, 2], [3]], encoding_format="base64")
    raw = [base64.b64decode(row["embedding"]) for row in reply.json["data"]]
    assert [list(struct.unpack("<2f", vector)) for vector in raw] == VECTORS
    assert house.inference.embeds[1].inputs == ((1, 2), (3,))


def test_an_input_that_is_too_long_is_told_in_openais_words(house):
    house.inference.script = [PromptTooLong(900, 512, what="input[0]")]
    reply = ask(house, "/v1/embeddings", input="a")
    assert reply.status == 400
    error = reply.json["error"]
    assert (error["code"], error["param"]) == ("context_length_exceeded", "input")
    assert "900" in error["message"]
    assert "512" in error["message"]


@pytest.mark.parametrize("path", ["/v1/rerank", "/rerank", "/v1/reranking", "/v2/rerank"])
def test_documents_come_back_best_first(house, path):
    documents = ["bb", {"text": "cccc"}, "a", "dd"]
    reply = ask(house, path, query="q", documents=documents, return_documents=True, top_n=3)
    assert reply.status == 200
    assert reply.json["results"] == [
        {"index": 1, "relevance_score": 4.0, "document": {"text": "cccc"}},
        {"index": 0, "relevance_score": 2.0, "document": {"text": "bb"}},
        {"index": 3, "relevance_score": 2.0, "document": {"text": "dd"}},
    ]
    assert reply.json["usage"] == {"prompt_tokens": 12, "total_tokens": 12}
    assert house.inference.reranks[0].documents == ("bb", "cccc", "a", "dd")


def test_the_form_with_texts_is_answered_in_kind(house):
    reply = ask(house, "/rerank", query="q", texts=["a", "bb"], return_text=True)
    assert reply.json == [
        {"index": 1, "score": 2.0, "text": "bb"},
        {"index": 0, "score": 1.0, "text": "a"},
    ]


def test_scores_come_in_the_order_of_the_texts(house):
    reply = ask(house, "/v1/score", text_1="q", text_2=["bb", "a"])
    assert [row["score"] for row in reply.json["data"]] == [2.0, 1.0]
    assert ask(house, "/score", text_1="q", text_2="a").json["data"][0]["index"] == 0


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/embed", {"input": "a"}),
        ("/api/embeddings", {"prompt": "a"}),
        ("/v1/embeddings", {"input": "a"}),
        ("/v1/rerank", {"query": "q", "documents": ["a"]}),
        ("/v1/score", {"text_1": "q", "text_2": "a"}),
    ],
)
def test_the_terms_of_a_request_are_taken_from_its_body_and_its_headers(house, path, body):
    assert ask(house, path, **body, priority="batch", deadline_s=5).status == 200
    sent = {"model": "smollm2", **body, "priority": "batch"}
    assert house.ask("POST", path, sent, headers={"X-Priority": "interactive"}).status == 200
    first, second = [*house.inference.embeds, *house.inference.reranks]
    assert (first.terms.priority, first.terms.deadline_s) == (Priority.BATCH, 5)
    assert (second.terms.priority, second.terms.deadline_s) == (Priority.INTERACTIVE, None)
    assert first.terms.client_id.startswith("127.0.0.1:")
