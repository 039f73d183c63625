"""Preparation: a stranger's template may fail, hang or swell, and only its request pays."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue

import pytest

from runner.domain.chat import Message
from runner.domain.options import SamplingParams
from runner.engine import prepare
from runner.engine.prepare import Outcome, Preparer
from runner.engine.sequence import Sequence
from runner.protocol.messages import Abort, Failed, Generate, Tokenize, Tokenized
from tests.engine.running import Running
from tests.fakes.backend import FakeBackend, FakeVocabulary
from tests.fakes.models import BOMB, CHATML, ENDLESS

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
        outcome = self.outcomes.get(timeout=20)
        assert outcome.request_id == request.request_id
        return outcome


@pytest.fixture
def prepared(request) -> Iterator[Prepared]:
    before = set(threading.enumerate())
    made = Prepared(FakeVocabulary(getattr(request, "param", CHATML)))
    yield made
    made.preparer.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
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
    took_s = time.monotonic() - began
    assert isinstance(failed, Failed)
    assert failed.code == "template_failed"
    assert "2 seconds" in failed.message
    assert prepare.RENDER_TIMEOUT_S <= took_s < prepare.RENDER_TIMEOUT_S + 2
    # The failure is told only when the thread is dead: the loop asks at once.
    assert not prepared.preparer.is_stuck
    assert not set(old) & set(threading.enumerate())
    seq = prepared.ask(chat("after"))
    assert isinstance(seq, Sequence)
    assert bytes(seq.tokens) == b"Hi"


@with_template(PICKY)
def test_a_thread_that_finished_in_the_last_moment_is_not_left_waiting(prepared, monkeypatch):
    """Time is up, but there is nothing to interrupt: it waits for its next job."""
    monkeypatch.setattr(prepare, "RENDER_TIMEOUT_S", 0.0)
    failed = prepared.ask(chat("late"))
    monkeypatch.undo()
    assert isinstance(failed, Failed | Sequence)
    assert not prepared.preparer.is_stuck
    assert isinstance(prepared.ask(chat("after")), Sequence)


def test_the_loop_goes_on_after_a_template_that_never_ends(monkeypatch):
    """Running streams, tokenizing and the worker itself are not the template's to stop."""
    monkeypatch.setattr(prepare, "RENDER_TIMEOUT_S", 0.5)
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
    monkeypatch.setattr(prepare, "RENDER_TIMEOUT_S", 0.5)
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


SCRIPT = """
import sys
from runner.engine import prepare
from tests.engine.test_prepare import Prepared, chat
from tests.fakes.backend import FakeVocabulary

prepare.WATCHDOG_S = float(sys.argv[2])
print(Prepared(FakeVocabulary(sys.argv[1])).ask(chat("r")), flush=True)
print(len(bytearray(1200 << 20)))  # no limit is left behind
"""


def run_apart(
    template: str, *, watchdog_s: float = prepare.WATCHDOG_S
) -> subprocess.CompletedProcess[str]:
    """Render in a process of its own: what is tried here could end this one."""
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, template, str(watchdog_s)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits memory this way")
def test_a_template_that_eats_memory_is_told_its_limit():
    done = run_apart(BOMB)
    assert "template_failed" in done.stdout, done.stderr
    assert "more than 1024 MiB" in done.stdout
    assert str(1200 << 20) in done.stdout


def test_a_template_that_holds_every_thread_ends_the_process_with_its_reason():
    """One call into C that never gives the others a turn: nothing else would help."""
    template = "{% set a = [[1] * 10000] * 30000 %}{{ a | sum(start=[]) | length }}"
    done = run_apart(template, watchdog_s=2.5)
    assert done.returncode == 1
    assert "Timeout" in done.stderr
    assert "template.py" in done.stderr
    assert done.stdout == ""


def test_the_watchdog_waits_until_nothing_else_has_helped():
    assert prepare.WATCHDOG_S > prepare.RENDER_TIMEOUT_S * 2
