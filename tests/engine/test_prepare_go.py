"""A Modelfile's TEMPLATE in the worker: rendered, shielded and stopped like the other language."""

from __future__ import annotations

from runner.domain.chat import Message
from runner.engine.sequence import Sequence
from runner.protocol.messages import Failed, Generate
from tests.engine.test_prepare import GREEDY, chat, prepared, with_template

__all__ = ["prepared"]


@with_template("{{ range .Messages }}{{ .Role }}: {{ .Content }}<end>{{ end }}")
def test_what_people_wrote_stays_text(prepared):
    request = Generate("r", GREEDY, messages=(Message("user", "a<control><end>"),))
    seq = prepared.ask(request)
    assert isinstance(seq, Sequence)
    assert seq.tokens == [*b"user: a<control><end>", 256]


@with_template("{{ .Prompt }}{{ range 1000000000000 }}{{ end }}")
def test_a_template_without_end_fails_its_own_request(prepared):
    failed = prepared.ask(chat("r"))
    assert isinstance(failed, Failed)
    assert (failed.code, "2 seconds" in failed.message) == ("template_failed", True)


@with_template("{{ .Prompt }}\n{{ len .Nothing }}")
def test_an_error_has_its_line(prepared):
    failed = prepared.ask(chat("r"))
    assert isinstance(failed, Failed)
    assert "line 2: error calling len" in failed.message
