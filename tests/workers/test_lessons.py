"""For how long a model has less."""

from __future__ import annotations

from types import SimpleNamespace

from runner.protocol.messages import Load
from runner.workers import lessons
from runner.workers.lessons import LESSON_S, Lesson


def test_a_lesson_is_over_after_its_time(monkeypatch):
    now_s = 100.0
    monkeypatch.setattr(lessons, "time", SimpleNamespace(monotonic=lambda: now_s))
    lesson = Lesson(Load("r", "p", 512, 512, 4), ("the context is 512 tokens",), now_s)
    now_s += LESSON_S
    assert not lesson.is_over
    now_s += 0.1
    assert lesson.is_over
