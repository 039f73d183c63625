"""What goes over one worker's pipe, and what is left when it breaks."""

from __future__ import annotations

import asyncio

import pytest

from runner.domain.event import FinishReason
from runner.errors import CapacityError, PromptTooLong, WorkerError
from runner.protocol.messages import Delta, Started, Tokenize
from runner.workers.channel import last_words
from tests.workers.pieces import ask, first_text, started, until, whole


def test_answers_reach_those_who_asked(models):
    async def story():
        async with started(models) as worker:
            answers = await asyncio.gather(
                *(whole(worker.generate(ask(f"say {n}"))) for n in (1, 2, 5))
            )
            for n, replies in zip((1, 2, 5), answers, strict=True):
                assert isinstance(replies[0], Started)
                assert "".join(reply.text for reply in replies[1:]).split() == [
                    str(i + 1) for i in range(n)
                ]
                assert replies[-1].finish.reason is FinishReason.STOP
            assert worker.channel.n_active == 0
            assert worker.channel.n_tokens == 8

    asyncio.run(story())


def test_a_refusal_arrives_as_the_error_it_was(models):
    async def story():
        async with started(models) as worker:
            with pytest.raises(PromptTooLong, match="6 tokens, but the context holds 4") as caught:
                await whole(worker.generate(ask("refuse")))
            assert caught.value.hint
            assert len(await whole(worker.generate(ask("say 1")))) == 2

    asyncio.run(story())


def test_leaving_an_answer_aborts_it(models):
    async def story():
        async with started(models) as worker:
            replies = worker.generate(ask("on"))
            await first_text(replies)
            await replies.aclose()
            assert worker.channel.n_active == 0
            await until(lambda: models.heard("a", "abort"))

    asyncio.run(story())


def test_an_answer_that_was_read_to_its_end_is_not_aborted(models):
    async def story():
        async with started(models) as worker:
            await whole(worker.generate(ask("say 2")))
            await worker.channel.ask(Tokenize("t", "x"))  # what was sent before has been heard
            assert not models.heard("a", "abort")

    asyncio.run(story())


@pytest.mark.parametrize("how", ["die", "crash", "garbage"])
def test_a_worker_that_breaks_fails_everyone_at_once(models, how):
    async def story():
        gone = []
        async with started(models, on_exit=lambda: gone.append(1)) as worker:
            waiting = [asyncio.create_task(whole(worker.generate(ask("hang")))) for _ in range(3)]
            question = asyncio.create_task(first_text(worker.generate(ask("on"))))
            await question
            waiting.append(asyncio.create_task(whole(worker.generate(ask(how)))))
            ends = await asyncio.gather(*waiting, return_exceptions=True)
            assert [type(end) for end in ends] == [WorkerError] * 4
            assert "(model a)" in ends[0].message
            assert "corral daemon logs" in ends[0].hint
            assert gone == [1]
            with pytest.raises(WorkerError):  # and whoever comes later
                await whole(worker.generate(ask("say 1")))

    asyncio.run(story())


def test_a_crash_names_the_signal_and_the_last_words(models):
    async def story():
        async with started(models) as worker:
            with pytest.raises(WorkerError) as caught:
                await whole(worker.generate(ask("crash")))
            assert "signal 6" in caught.value.message
            assert "GGML_ASSERT(n > 0) failed" in caught.value.message
            assert any("GGML_ASSERT" in line for line in worker.channel.log_tail)

    asyncio.run(story())


def test_breaking_off_fails_with_the_reason_given(models):
    async def story():
        async with started(models) as worker:
            replies = worker.generate(ask("hang"))
            await first_text(replies)
            worker.channel.break_off(CapacityError("the daemon is shutting down"))
            with pytest.raises(CapacityError):
                await anext(replies)
            await asyncio.wait_for(worker.channel.exited, 60)

    asyncio.run(story())


def test_the_log_keeps_its_end_only(models):
    async def story():
        async with started(models) as worker:
            for i in range(100):
                worker.channel.pipe_data_received(2, b"line %d\nrest" % i)
            worker.channel.pipe_data_received(2, b"x" * 10_000_000)
            worker.channel.pipe_data_received(2, b"\xff\n")
            assert len(worker.channel.log_tail) == 20
            assert sum(map(len, worker.channel.log_tail)) < 100_000

    asyncio.run(story())


def test_an_answer_belongs_to_its_request_alone(models):
    """Replies that name nobody are dropped: their requests have left."""

    async def story():
        async with started(models) as worker:
            replies = worker.generate(ask("say 3"))
            assert isinstance(await anext(replies), Started)
            await replies.aclose()
            rest = await whole(worker.generate(ask("say 2")))
            assert [reply.text for reply in rest if isinstance(reply, Delta)] == ["1 ", "2 "]

    asyncio.run(story())


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("/src/ggml.c:42: GGML_ASSERT(n > 0) failed", "/src/ggml.c:42: GGML_ASSERT(n > 0) failed"),
        ("  what():  out of memory", "what():  out of memory"),
        ("MemoryError", "MemoryError"),
        ("OSError: [Errno 28] No space left", "OSError: [Errno 28] No space left"),
        ("2026-01-02T03:04:05.678Z ERROR engine.loop ValueError", ""),
        ("Errors are nothing to fear", ""),
    ],
)
def test_what_a_dying_process_prints_is_told_from_its_log(line, words):
    assert last_words(["2026-01-02T03:04:05.678Z INFO x y", line]) == words
