"""What a prompt has in common with an earlier one is not computed again, and the answer says so."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.live

SYSTEM = {"role": "system", "content": "You answer in few words, kindly. " * 20}


def chat(daemon, *messages, **options) -> dict:
    body = {"model": "smollm2", "messages": list(messages), "max_tokens": 24, **options}
    return daemon.ask("POST", "/v1/chat/completions", body).json


def n_cached(answer: dict) -> int:
    return answer["usage"]["prompt_tokens_details"]["cached_tokens"]


def said(answer: dict) -> dict:
    return {"role": "assistant", "content": answer["choices"][0]["message"]["content"]}


def user(text: str) -> dict:
    return {"role": "user", "content": text}


def test_the_next_turn_of_a_chat_starts_where_the_last_one_ended(daemon):
    turns = [SYSTEM, user("What is a horse?")]
    first = chat(daemon, *turns, temperature=0)
    turns += [said(first), user("And a cow?")]
    second = chat(daemon, *turns, temperature=0)
    assert n_cached(second) >= first["usage"]["prompt_tokens"]


def test_a_chat_goes_on_after_others_had_the_cache(daemon):
    turns = [SYSTEM, user("What is a river?")]
    first = chat(daemon, *turns, temperature=0)
    for i in range(3):
        chat(daemon, user(f"{i}: tell me something else, and not too short, please."))
    turns += [said(first), user("And a lake?")]
    assert n_cached(chat(daemon, *turns, temperature=0)) >= first["usage"]["prompt_tokens"]


def test_a_seed_brings_the_same_answer_again_whatever_is_cached(daemon):
    asked = [SYSTEM, user("Name a colour.")]
    answers = [chat(daemon, *asked, seed=7, temperature=1.2) for _ in range(2)]
    chat(daemon, SYSTEM, user("Something else."))
    answers.append(chat(daemon, *asked, seed=7, temperature=1.2))
    assert {n_cached(answer) for answer in answers} == {0}
    assert len({said(answer)["content"] for answer in answers}) == 1
