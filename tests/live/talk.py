"""The same question in both dialects, and what comes back, told alike."""

from __future__ import annotations

import json

#: Endpoint of each dialect.
PATHS = {"ollama": "/api/chat", "openai": "/v1/chat/completions"}


def question(dialect, model="tiny", content="hi", *, stream=True, n_most=None, **more):
    """The body of a chat with one message; or exactly ``n_most`` tokens."""
    body = {"model": model, "messages": [{"role": "user", "content": content}], "stream": stream}
    if n_most is not None:
        if dialect == "openai":
            body |= {"max_tokens": n_most, "ignore_eos": True}
        else:
            body |= {"options": {"num_predict": n_most, "ignore_eos": True}}
    return body | more


def ask(daemon, dialect, model="tiny", content="hi", **more):
    return daemon.ask("POST", PATHS[dialect], question(dialect, model, content, **more))


def text_of(dialect, line: bytes) -> str:
    """The text in one line of a stream."""
    if dialect == "ollama":
        return json.loads(line)["message"]["content"]
    choices = json.loads(line.removeprefix(b"data: "))["choices"]
    return choices[0]["delta"].get("content") or "" if choices else ""


def started(dialect, answer) -> None:
    """Read a stream until its first text."""
    assert answer.status == 200
    while not text_of(dialect, answer.line()):
        pass


def error_of(dialect, lines: list[bytes]) -> dict:
    """The error that ends a stream, flat."""
    if dialect == "openai":
        assert lines[-1] == b"data: [DONE]"
        return flat(dialect, json.loads(lines[-2].removeprefix(b"data: ")))
    return flat(dialect, json.loads(lines[-1]))


def flat(dialect, body: dict) -> dict:
    """``message``, ``code``, ``hint`` of an error in its dialect's form, which is checked."""
    if dialect == "openai":
        assert set(body) == {"error"}
        assert {"message", "type", "param", "code"} <= set(body["error"])
        return {"hint": ""} | body["error"]
    assert isinstance(body["error"], str)
    told = {"message": body["error"], "code": body["code"], "hint": body.get("hint", "")}
    return told | {"queue_position": body.get("queue_position", 0)}


def answers_well(daemon, model="tiny") -> None:
    """Whether a plain chat works, as after every misfortune it must."""
    reply = ask(daemon, "ollama", model, stream=False, n_most=3)
    assert reply.status == 200, reply.body
    assert reply.json["eval_count"] == 3
