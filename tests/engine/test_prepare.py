"""Preparation: a stranger's template may fail, hang or swell, and only its request pays."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from queue import SimpleQueue

import pytest
from msgspec import structs
from msgspec.structs import replace

from runner.domain.chat import Message, Tool, ToolCall
from runner.domain.options import SamplingParams
from runner.domain.request import Constraint, Priority, Terms
from runner.engine import prepare, rendering
from runner.engine.backend import Infill
from runner.engine.prepare import Outcome, Preparer
from runner.engine.sequence import Sequence
from runner.prompt.toolcalls import harmony
from runner.protocol.messages import (
    Abort,
    Detokenize,
    Failed,
    Generate,
    Render,
    Tokenize,
    Tokenized,
)
from tests.engine.running import Running
from tests.fakes.backend import FakeBackend, FakeVocabulary
from tests.fakes.models import CHATML, ENDLESS

#: Renders at once, or never, as the message says.
PICKY = "{% if messages[0].content == 'hang' %}" + ENDLESS + "{% endif %}{{ messages[0].content }}"
GREEDY = SamplingParams(temperature=0)


def chat(request_id: str, content: str = "Hi") -> Generate:
    return Generate(request_id, GREEDY, messages=(Message("user", content),), max_tokens=2)


class Prepared:
    """A preparer and what came out of it."""

    def __init__(self, vocabulary: FakeVocabulary) -> None:
        self.outcomes: SimpleQueue[Outcome] = SimpleQueue()
        self.backend = FakeBackend(n_ctx=1000)
        self.preparer = Preparer(vocabulary, self.backend, self.outcomes.put)

    def ask(self, request: Generate | Tokenize) -> Outcome:
        self.preparer.submit(request)
        outcome = self.outcomes.get(timeout=60)
        assert outcome.request_id == request.request_id
        return outcome


@pytest.fixture
def prepared(request) -> Iterator[Prepared]:
    before = set(threading.enumerate())
    made = Prepared(FakeVocabulary(getattr(request, "param", CHATML)))
    yield made
    made.preparer.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
        assert not thread.is_alive(), f"{thread.name} was left behind"


def talk(n_turns: int, **more: object) -> Generate:
    """A system turn, then questions and answers of about 60 tokens each, then a question."""
    turns = [Message("system", "S" * 20)]
    for i in range(n_turns):
        turns += [Message("user", f"{i}" * 20), Message("assistant", "a" * 20)]
    return Generate("r", GREEDY, messages=(*turns, Message("user", "last")), **more)


@pytest.mark.parametrize(("max_tokens", "n_room"), [(None, 250), (10, 10), (0, 0), (900, 250)])
def test_a_conversation_that_may_be_cut_loses_its_oldest_turns_and_says_how_many(
    prepared, max_tokens, n_room
):
    seq = prepared.ask(talk(12, truncates=True, max_tokens=max_tokens))
    assert isinstance(seq, Sequence)
    text = bytes(seq.tokens).decode()
    assert text.startswith("<|im_start|>system\nSSS")
    assert "last<|im_end|>" in text
    assert seq.n_dropped > 0
    assert seq.n_dropped % 2 == 0
    assert f"user\n{seq.n_dropped // 2}" in text
    assert len(seq.tokens) < 1000 - n_room


def test_a_conversation_that_fits_is_whole_and_one_that_may_not_be_cut_is_refused(prepared):
    assert prepared.ask(talk(3, truncates=True)).n_dropped == 0
    assert prepared.ask(talk(12)).code == "prompt_too_long"
    alone = Generate("r", GREEDY, messages=(Message("user", "x" * 2000),), truncates=True)
    assert prepared.ask(alone).code == "prompt_too_long"


def with_template(template: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("prepared", [template], indirect=True)


def renderers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "_render_all"]


def test_a_conversation_becomes_the_tokens_of_its_template(prepared):
    seq = prepared.ask(chat("r", "Hi"))
    assert isinstance(seq, Sequence)
    text = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert bytes(seq.tokens).decode() == text
    assert (seq.n_prompt, seq.n_limit) == (len(text), len(text) + 2)


def test_who_looks_on_is_prepared_before_those_who_do_not(prepared, monkeypatch):
    vocabulary, began, gate = prepared.preparer._vocabulary, threading.Event(), threading.Event()
    plain = vocabulary.tokenize

    def tokenize(text, *, parse_special):
        if text == "wait":
            began.set()
            assert gate.wait(60)
        return plain(text, parse_special=parse_special)

    monkeypatch.setattr(vocabulary, "tokenize", tokenize)
    prepared.preparer.submit(Tokenize("first", "wait"))
    assert began.wait(60)
    for number, priority in enumerate([Priority.BATCH, Priority.API, Priority.INTERACTIVE] * 2):
        request = replace(chat(f"{priority} {number // 3}"), terms=Terms(priority=priority))
        prepared.preparer.submit(request)
    gate.set()
    names = [prepared.outcomes.get(timeout=60).request_id for _ in range(7)]
    classes = [f"{priority} {number}" for priority in Priority for number in (0, 1)]
    assert names == ["first", *classes]


@with_template("")
def test_a_model_without_a_template_gets_the_plain_messages(prepared):
    seq = prepared.ask(chat("r", "Hi"))
    assert isinstance(seq, Sequence)
    assert bytes(seq.tokens) == b"Hi"


@with_template("{{ messages[0].role }}: {{ messages[0].content }}<end>")
def test_neither_text_nor_role_of_a_message_holds_control_tokens(prepared):
    request = Generate("r", GREEDY, messages=(Message("x<end>", "a<control><end>"),))
    seq = prepared.ask(request)
    assert isinstance(seq, Sequence)
    assert seq.tokens == [*b"x<end>: a<control><end>", 256]


@with_template("{{ raise_exception('no system turns') }}")
def test_a_template_that_raises_fails_its_request_in_its_words(prepared):
    for request_id in ("a", "b"):
        failed = prepared.ask(chat(request_id))
        assert isinstance(failed, Failed)
        assert failed.code == "template_failed"
        assert "no system turns" in failed.message
        assert failed.hint
    assert isinstance(prepared.ask(Tokenize("t", "x")), Tokenized)


@with_template("{% if %}")
def test_a_template_that_cannot_be_compiled_fails_each_request(prepared):
    for request_id in ("a", "b"):
        failed = prepared.ask(chat(request_id))
        assert isinstance(failed, Failed)
        assert "line 1" in failed.message


@with_template("{% for i in range(99) %}{{ 'a' * 1000000 }}{% endfor %}")
def test_a_prompt_without_measure_fails_its_request(prepared):
    failed = prepared.ask(chat("r"))
    assert isinstance(failed, Failed)
    assert failed.code == "template_failed"
    assert "characters" in failed.message


@with_template(PICKY)
def test_a_template_that_never_ends_costs_two_seconds_and_its_request(prepared):
    assert isinstance(prepared.ask(chat("before")), Sequence)
    old = renderers()
    began = time.monotonic()
    failed = prepared.ask(chat("r", "hang"))
    assert time.monotonic() - began >= rendering.RENDER_TIMEOUT_S
    assert isinstance(failed, Failed)
    assert failed.code == "template_failed"
    assert "2 seconds" in failed.message
    # The failure is told only when the thread is dead: the loop asks at once.
    assert not prepared.preparer.is_stuck
    assert not set(old) & set(threading.enumerate())
    seq = prepared.ask(chat("after"))
    assert isinstance(seq, Sequence)
    assert bytes(seq.tokens) == b"Hi"


@with_template(PICKY)
def test_a_thread_that_finished_in_the_last_moment_is_not_left_waiting(prepared, monkeypatch):
    """Time is up, but there is nothing to interrupt: it waits for its next job."""
    monkeypatch.setattr(rendering, "RENDER_TIMEOUT_S", 0.0)
    failed = prepared.ask(chat("late"))
    monkeypatch.undo()
    assert isinstance(failed, Failed | Sequence)
    assert not prepared.preparer.is_stuck
    assert isinstance(prepared.ask(chat("after")), Sequence)


def test_the_loop_goes_on_after_a_template_that_never_ends(monkeypatch):
    """Running streams, tokenizing and the worker itself are not the template's to stop."""
    monkeypatch.setattr(rendering, "RENDER_TIMEOUT_S", 0.5)
    backend = FakeBackend(n_ctx=10**6, n_cells=2 * 10**6)
    with Running(FakeVocabulary(PICKY), backend) as running:
        stream = Generate("stream", SamplingParams(ignore_eos=True), prompt="a")
        running.send(stream)
        assert isinstance(running.ask(chat("hang", "hang")), Failed)
        running.send(Abort("stream"))
        running.ending("stream")
        assert running.n_steps > 100
        ending = running.ask(chat("good"))
        assert not isinstance(ending, Failed)
        assert not running.has_ended


def test_an_abort_while_the_template_runs_is_remembered(monkeypatch):
    monkeypatch.setattr(rendering, "RENDER_TIMEOUT_S", 0.5)
    with Running(FakeVocabulary(PICKY), FakeBackend()) as running:
        running.send(chat("hang", "hang"))
        running.send(chat("behind"))
        running.send(Abort("hang"))
        running.send(Abort("behind"))
        hung, behind = running.ending("hang"), running.ending("behind")
        assert isinstance(hung, Failed)
        assert not isinstance(behind, Failed | Tokenized)
        assert (behind.reason, behind.n_generated) == ("aborted", 0)
        assert "behind" not in running.started


TOOLS = "{% for t in tools %}{{ t.function.name }}{{ t | tojson }}{% endfor %}"


@with_template(TOOLS + "{{ enable_thinking }}{{ messages[0].tool_calls[0].function.arguments.a }}")
def test_tools_and_calls_reach_the_template_without_control_tokens(prepared):
    call = ToolCall("f", {"a": "x<end>"})
    request = Generate(
        "r",
        GREEDY,
        messages=(Message("assistant", "", tool_calls=(call,)),),
        tools=(Tool("f", "d<control>"),),
        think=True,
    )
    seq = prepared.ask(request)
    assert isinstance(seq, Sequence)
    assert max(seq.tokens) < 256
    text = bytes(seq.tokens).decode()
    assert text.startswith("f{")
    assert "d<control>" in text
    assert text.endswith("Truex<end>")


@with_template("own {{ messages[0].content }}")
def test_a_request_may_bring_its_own_template(prepared):
    for template, text in (("other", "other"), (None, "own Hi"), ("", "Hi")):
        seq = prepared.ask(
            Generate("r", GREEDY, messages=(Message("user", "Hi"),), template=template)
        )
        assert isinstance(seq, Sequence)
        assert bytes(seq.tokens).decode() == text


@with_template("{{ messages[0].content }}<think>\n")
def test_the_end_of_the_template_is_told_but_not_of_a_raw_prompt(prepared):
    assert prepared.ask(chat("r")).tail == "Hi<think>"
    assert prepared.ask(Generate("r", GREEDY, prompt="<think>")).tail == ""


@with_template("{{ messages[0].content }}")
def test_words_of_people_are_no_end_of_the_template(prepared):
    assert prepared.ask(chat("r", "x<end>")).tail == ""


def test_only_control_tokens_that_are_asked_for_keep_their_text(prepared):
    request = Generate("r", GREEDY, prompt="x", keeps_control=("<control>", "<think>"))
    seq = prepared.ask(request)
    assert isinstance(seq, Sequence)
    assert seq.kept == {257: b"<control>"}
    assert seq.controls == ("<control>",)
    assert seq.take(257, b"", is_eog=False)[0] == "<control>"
    assert seq.marks.release(9) == (0,)
    plain = prepared.ask(Generate("r", GREEDY, prompt="x"))
    assert plain.take(257, b"", is_eog=False)[0] == ""


@pytest.mark.parametrize(
    ("tail", "think", "after", "opening"),
    [
        ("", None, "</think>", "<think>"),
        ("<think>\n", None, "</think>", ""),
        ("", True, "</think>", "<think>"),
        ("", False, "", ""),
    ],
)
def test_a_constraint_does_not_wait_for_thoughts_that_never_come(tail, think, after, opening):
    constraint = Constraint("json", after="</think>")
    request = Generate("r", GREEDY, prompt="x", think=think, constraint=constraint)
    settled = prepare.settled(request, tail).constraint
    assert settled == Constraint("json", after=after, opening=opening)


class StubbornVocabulary(FakeVocabulary):
    """Has a token that is parsed from any text, as llama.cpp's user-defined ones are."""

    control_texts = (*FakeVocabulary.control_texts, "<|ch|>")

    def tokenize(self, text, *, parse_special):
        before, found, after = text.partition("<|ch|>")
        if not found:
            return super().tokenize(text, parse_special=parse_special)
        rest = self.tokenize(after, parse_special=parse_special)
        return [*super().tokenize(before, parse_special=parse_special), 300, *rest]


def test_a_token_that_is_always_parsed_is_still_text_when_people_write_it():
    made = Prepared(StubbornVocabulary("{{ messages[0].content }}<|ch|>"))
    seq = made.ask(chat("r", "a<|ch|>b"))
    made.preparer.close()
    assert isinstance(seq, Sequence)
    assert seq.tokens == [*b"a<|ch|>b", 300]


def test_a_prompt_is_rendered_without_being_queued(prepared):
    told = prepared.ask(Render("r", chat("g", "Hi <end>")))
    assert isinstance(told, Tokenized)
    assert told.text.endswith("Hi <end><|im_end|>\n<|im_start|>assistant\n")
    assert told.text.encode() == bytes(told.tokens)  # a person's control token is letters


def test_tokens_become_text_again(prepared):
    told = prepared.ask(Detokenize("d", (104, 105, 256)))
    assert (told.text, told.tokens) == ("hi<end>", (104, 105, 256))
    refused = prepared.ask(Detokenize("d", (10**6,)))
    assert isinstance(refused, Failed)
    assert refused.param == "tokens"


def test_a_gap_has_the_models_tokens_around_it(prepared):
    asked = Generate("i", GREEDY, prompt="a<end>", suffix="b", max_tokens=2)
    refused = prepared.ask(asked)
    assert isinstance(refused, Failed)
    assert (refused.code, refused.param) == ("unsupported", "suffix")
    prepared.preparer._vocabulary.infill = Infill(258, 259, 260)
    filled = prepared.ask(asked)
    assert filled.tokens == [258, *b"a<end>", 259, *b"b", 260]


def test_an_answer_in_a_form_goes_on_with_a_turn_at_once():
    turns = (Message("user", "Hi"), Message("assistant", "So: "))
    form = Constraint("json", after="</think>")
    asked = Generate("c", GREEDY, messages=turns, think=True, constraint=form, max_tokens=2)
    assert prepare.settled(asked, "So: ").constraint.after == ""
    assert prepare.settled(asked, "<think>").constraint.after == "</think>"
    asked = structs.replace(asked, constraint=Constraint("json", after=harmony.ANSWER))
    assert prepare.settled(asked, "So: ").constraint.after == ""
    fresh = structs.replace(asked, messages=turns[:1])
    assert prepare.settled(fresh, "<|start|>assistant").constraint.after == harmony.ANSWER


GAP = "{{ if .Suffix }}<end>{{ .Prompt }}<gap>{{ .Suffix }}<end>{{ else }}{{ .Prompt }}{{ end }}"


def test_a_template_says_how_a_gap_is_filled(prepared):
    """Its control tokens are tokens, those that people write are letters."""
    asked = Generate("i", GREEDY, prompt="a<end>", suffix="b<end>", template=GAP, max_tokens=2)
    filled = prepared.ask(asked)
    assert isinstance(filled, Sequence)
    assert filled.tokens == [256, *b"a<end><gap>b<end>", 256]
    plain = prepared.ask(Generate("p", GREEDY, prompt="a<end>", template=GAP, max_tokens=2))
    assert plain.tokens == [*b"a", 256], "without a suffix the prompt is raw"
