"""The count of threads changes between two steps, and the answer does not change with it."""

from __future__ import annotations

import llama_cpp
import pytest

from runner.domain.options import SamplingParams
from runner.protocol.messages import Generate, Outcome, UseThreads
from tests.engine.running import Running
from tests.fakes.backend import FakeBackend, FakeVocabulary

GREEDY = SamplingParams(temperature=0, ignore_eos=True)
COUNT = "Count: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,"


def test_a_count_that_comes_in_the_middle_of_an_answer_is_taken_then():
    seen = []

    def watch(_):
        seen.append(backend.n_threads)
        if len(seen) == 5:
            running.send(UseThreads(1))

    backend = FakeBackend(before_decode=watch)
    backend.n_threads = 4
    with Running(FakeVocabulary(), backend) as running:
        ask = Generate("r", SamplingParams(ignore_eos=True), prompt="ab", max_tokens=40)
        assert isinstance(running.ask(ask), Outcome)
    assert seen[:5] == [4] * 5
    assert seen[5:] == [1] * (len(seen) - 5)
    assert len(seen) > 5


@pytest.mark.live
def test_the_real_engine_computes_with_as_many_threads_as_it_is_told(starter):
    starter.clear()
    embedder = starter.embedder()
    try:
        with Running(starter.model, starter) as running:
            texts = []
            for n in (1, 2, 1):
                running.send(UseThreads(n))
                outcome = running.ask(
                    Generate(f"r{len(texts)}", GREEDY, prompt=COUNT, max_tokens=8)
                )
                assert isinstance(outcome, Outcome)
                for handle in (starter._context.handle, embedder.handle):
                    assert llama_cpp.llama_n_threads(handle) == n
                    assert llama_cpp.llama_n_threads_batch(handle) == n
                texts.append(running.texts[f"r{len(texts)}"])
        assert texts[0] == texts[1] == texts[2]
        assert "15, 16" in texts[0]
    finally:
        starter.use_threads(1)
        starter.clear()
