"""What a request may ask of the engine: the same bytes, a shift, a cut; and every kind of model."""

from __future__ import annotations

import threading

import pytest

from tests.fakes.random_models import random_hybrid, random_llama, random_mamba, random_sliding
from tests.live.talk import PATHS, ask, text_of
from tests.real_daemon import RealDaemon

pytestmark = pytest.mark.live

KINDS = {
    "llama": random_llama,
    "sliding": random_sliding,
    "mamba": random_mamba,
    "hybrid": random_hybrid,
}


def answer(daemon, dialect, model, content, **more) -> str:
    reply = ask(daemon, dialect, model, content, **more)
    assert reply.status == 200, reply.body
    if dialect == "openai":
        return reply.json["choices"][0]["message"]["content"]
    return reply.json["message"]["content"]


def test_a_deterministic_answer_is_the_same_in_both_dialects_and_under_load(daemon):
    told = "Tell me a tale of a fox, with many turns and a surprising end."
    hot = {"temperature": 1.3, "num_predict": 24, "ignore_eos": True}
    native = {"options": hot, "stream": False, "deterministic": True}
    texts = {answer(daemon, "ollama", "smollm2", told, **native) for _ in range(2)}
    load = [
        threading.Thread(target=ask, args=(daemon, "ollama", "smollm2", f"{i}?"), kwargs={
            "stream": False, "n_most": 40})
        for i in range(7)
    ]  # fmt: skip
    for thread in load:
        thread.start()
    texts.add(answer(daemon, "ollama", "smollm2", told, **native))
    same = {"temperature": 1.3, "max_tokens": 24, "ignore_eos": True, "seed": 0, "top_k": 40}
    texts.add(answer(daemon, "openai", "smollm2", told, stream=False, deterministic=True, **same))
    for thread in load:
        thread.join()
    assert len(texts) == 1


@pytest.mark.parametrize("dialect", PATHS)
def test_deterministic_is_yes_or_no(daemon, dialect):
    reply = ask(daemon, dialect, deterministic="maybe")
    assert reply.status == 400
    assert "deterministic" in reply.body.decode()


def test_an_answer_outgrows_its_context_only_where_it_may(daemon):
    options = {"num_ctx": 64, "num_predict": 100, "ignore_eos": True}
    plain = ask(daemon, "ollama", options=options, stream=False).json
    assert (plain["done_reason"], "shifted_tokens" in plain) == ("length", False)
    assert plain["prompt_eval_count"] + plain["eval_count"] == 64
    shifting = ask(daemon, "ollama", options=options, stream=False, shift=True).json
    assert (shifting["done_reason"], shifting["eval_count"]) == ("length", 100)
    assert shifting["shifted_tokens"] > 20


def test_a_conversation_loses_turns_only_where_it_may_and_says_how_many(daemon):
    turns = [{"role": "system", "content": "Be kind."}]
    for i in range(20):
        turns += [{"role": "user", "content": f"{i}" * 9}, {"role": "assistant", "content": "ok"}]
    body = {"messages": [*turns, {"role": "user", "content": "last"}], "stream": False}
    body["options"] = {"num_ctx": 256, "num_predict": 5, "ignore_eos": True}
    refused = ask(daemon, "ollama", **body)
    assert (refused.status, refused.json["code"]) == (400, "prompt_too_long")
    cut = ask(daemon, "ollama", **body, truncate=True)
    assert cut.status == 200
    assert 0 < cut.json["dropped_messages"] < 40
    assert cut.json["prompt_eval_count"] < 256


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_of_every_kind_goes_on_from_its_past(daemon, tmp_path, kind):
    """Told by the tokens that came from a cache."""
    path = tmp_path / f"{kind}.gguf"
    KINDS[kind](path)
    daemon.take_in(path, kind)
    turns = [{"role": "user", "content": "Tell me everything about it, at length. " * 5}]
    more = {"temperature": 0, "max_tokens": 20, "ignore_eos": True, "stream": False}
    first = ask(daemon, "openai", kind, messages=turns, **more)
    assert first.status == 200, first.body
    turns.append({"role": "assistant", "content": "Well."})
    turns.append({"role": "user", "content": "Go on."})
    second = ask(daemon, "openai", kind, messages=turns, **more).json
    usage = second["usage"]
    assert usage["prompt_tokens_details"]["cached_tokens"] > 180
    assert usage["completion_tokens"] == 20


def test_the_caches_type_is_a_setting_and_a_bad_one_is_told(tmp_path, tiny):
    with RealDaemon(tmp_path / "home", CORRAL_KV_CACHE_TYPE="f32") as own:
        own.take_in(tiny, "tiny")
        assert ask(own, "ollama", stream=False, n_most=3).status == 200
    with RealDaemon(tmp_path / "other", CORRAL_KV_CACHE_TYPE="q8_0") as own:
        path = tmp_path / "narrow.gguf"
        random_llama(path)
        own.take_in(path, "narrow")
        reply = ask(own, "ollama", "narrow", stream=False)
        assert reply.status >= 500
        assert "q8_0" in reply.json["error"]
        assert "CORRAL_KV_CACHE_TYPE" in reply.json["hint"]


def test_text_streams_in_deterministic_mode(daemon):
    with daemon.stream(
        "/api/chat",
        {
            "model": "tiny",
            "messages": [{"role": "user", "content": "hi"}],
            "deterministic": True,
            "options": {"num_predict": 8, "ignore_eos": True},
        },
    ) as stream:
        texts = [text_of("ollama", line) for line in stream.rest()]
    assert "".join(texts) == "abcdefgh"
