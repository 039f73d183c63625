"""What is remembered of a death, and for how long."""

from __future__ import annotations

from runner.protocol.messages import Load
from runner.workers.lesser import Less
from runner.workers.lessons import LESSON_S, Lessons

LESS = Less(Load("r", "p", 512, 512, 4), "the context is 512 tokens")


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_lesson_is_forgotten_after_its_time():
    clock = Clock()
    lessons = Lessons(clock)
    assert lessons.less_for("a") is None
    lessons.learn("a", LESS)
    clock.now_s += LESSON_S
    assert lessons.less_for("a") is LESS
    assert lessons.less_for("b") is None
    clock.now_s += 0.1
    assert lessons.less_for("a") is None


def test_want_of_memory_is_a_lesson_at_once_and_another_death_when_it_repeats():
    clock = Clock()
    lessons = Lessons(clock)
    assert lessons.is_one("a", -9, found_no_memory=True)
    assert not lessons.is_one("b", -11, found_no_memory=False)
    assert not lessons.is_one("c", -11, found_no_memory=False), "another model's"
    assert not lessons.is_one("b", -15, found_no_memory=False), "another death"
    assert lessons.is_one("b", -15, found_no_memory=False)
    clock.now_s += LESSON_S + 1
    assert not lessons.is_one("b", -15, found_no_memory=False), "long ago"
