"""LoRA adapters: whose sequences share steps and cells, and that each answers as it does alone."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from runner.domain.options import SamplingParams
from runner.domain.request import AdapterUse, Terms
from runner.engine.scheduler import Scheduler
from runner.engine.sequence import Adapters
from runner.errors import WorkerError
from runner.protocol.messages import Failed, Generate, Load, Outcome
from tests.engine.running import Running
from tests.engine.sequences import new_sequence
from tests.fakes.adapters import adaptable_model, adapter
from tests.fakes.backend import FakeBackend, FakeVocabulary, answer

ON = SamplingParams(temperature=0, ignore_eos=True, seed=0)
SETS: tuple[Adapters, ...] = ((), ((0, 1.0),), ((1, 1.0),), ((0, 0.5), (1, 1.0)))


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.sampled_from(SETS), st.integers(1, 30)), min_size=1, max_size=12),
    st.integers(0, 2),
)
def test_steps_are_of_one_set_and_every_set_has_its_turn(asked, n_cold_max):
    """No set waits for more steps than there are other sets."""
    scheduler = Scheduler(n_batch=8, n_cells=600, n_seq_max=8, n_cold_max=n_cold_max)
    waited: dict[Adapters, int] = {}
    left = []
    for number, (adapters, n) in enumerate(asked):
        seq = new_sequence(str(number), n, n + 5)
        seq.adapters = adapters
        left.append(seq)
        scheduler.add(seq)
    for _ in range(1000):
        scheduler.admit()
        plan = scheduler.step()
        if not plan.chunks:
            break
        (done,) = {chunk.seq.adapters for chunk in plan.chunks}
        running = {seq.adapters for seq in scheduler.running}
        waited = {a: waited.get(a, 0) + 1 for a in running}
        waited[done] = 0
        assert max(waited.values()) < len(SETS)
        scheduler.commit(plan)
        for chunk in plan.chunks:
            if chunk.draw:
                chunk.seq.tokens.append(9)
                if len(chunk.seq.tokens) >= chunk.seq.n_limit:
                    scheduler.remove(chunk.seq)
                    left.remove(chunk.seq)
        scheduler.check()
    assert not left


def test_cells_computed_with_another_set_are_not_shared():
    """The fake asserts that a sequence holds no cells of other adapters."""
    prompt = "the same long beginning of every prompt"
    tokens = list(prompt.encode())
    expected, _, _ = answer(tokens, ON, n_limit=len(tokens) + 10)
    backend = FakeBackend(n_ctx=64, n_cells=512, n_cold_max=2, n_adapters=2)
    uses = (None, (), (AdapterUse(1),), (AdapterUse(1),), (AdapterUse(0, 0.0),))
    with Running(FakeVocabulary(), backend, n_host_bytes=1 << 20) as running:
        for turn in range(2):
            names = [f"{turn}-{i}" for i in range(len(uses))]
            for name, use in zip(names, uses, strict=True):
                running.send(Generate(name, ON, prompt=prompt, max_tokens=10, adapters=use))
            for name in names:
                assert isinstance(running.ending(name), Outcome)
                assert running.texts[name] == expected
    assert running.started["1-4"].n_cached > 0, "the like of it are shared all the same"


def test_deterministic_requests_with_other_adapters_share_no_chunks():
    """Again the fake asserts that a sequence holds no cells of other adapters."""
    fixed = Terms(is_deterministic=True)
    prompt = "x" * 100
    uses = ((), None, None, (AdapterUse(1),), ())
    backend = FakeBackend(n_ctx=256, n_cells=512, n_cold_max=1, n_adapters=2)
    with Running(FakeVocabulary(), backend) as running:
        for number, use in enumerate(uses):
            name = str(number)
            asked = Generate(name, ON, prompt=prompt, max_tokens=5, terms=fixed, adapters=use)
            assert isinstance(running.ask(asked), Outcome)
    assert [running.started[str(n)].n_cached for n in range(len(uses))] == [0, 0, 96, 0, 0]


def test_a_stream_is_not_kept_waiting_by_a_long_prompt_with_another_set():
    scheduler = Scheduler(n_batch=64, n_cells=600, n_seq_max=2)
    stream, prompt = new_sequence("stream", 1, 100), new_sequence("prompt", 200, 210)
    prompt.adapters = ((0, 1.0),)
    scheduler.add(stream)
    scheduler.admit()
    for _ in range(8):
        scheduler.commit(scheduler.step(4))
        stream.tokens.append(9)
    scheduler.add(prompt)
    scheduler.admit()
    sizes = {}
    for _ in range(2):
        (chunk,) = scheduler.step(4).chunks
        sizes[chunk.seq.request_id] = chunk.n
    assert sizes == {"stream": 1, "prompt": 4}


@pytest.mark.parametrize("number", [-1, 2])
def test_an_adapter_that_is_not_there_is_refused_by_its_number(number):
    with Running(FakeVocabulary(), FakeBackend(n_adapters=2)) as running:
        failed = running.ask(Generate("r", ON, prompt="x", adapters=(AdapterUse(number),)))
    assert isinstance(failed, Failed)
    assert failed.code == "invalid_request"
    assert f"there is no adapter {number}; the model has 2" in failed.message


def asked(name, prompt, adapters, terms) -> Generate:
    return Generate(name, ON, prompt=prompt, max_tokens=24, adapters=adapters, terms=terms)


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    from runner.engine.llama.backend import LlamaBackend

    folder = tmp_path_factory.mktemp("adapters")
    model = adaptable_model(folder / "model.gguf")
    paths = tuple(str(adapter(folder / f"{seed}.gguf", seed=seed)) for seed in (1, 2))
    load = Load("l", str(model), n_ctx=256, n_cells=1024, n_seq_max=8, n_threads=1, adapters=paths)
    backend = LlamaBackend(load)
    yield backend
    backend.close()


@pytest.mark.live
@pytest.mark.parametrize("terms", [Terms(), Terms(is_deterministic=True)], ids=["usual", "fixed"])
def test_two_adapters_and_none_answer_interleaved_as_alone(real, terms):
    """Beside them run others, with all of the adapters, that nobody compares."""
    uses = {"none": (), "one": (AdapterUse(0),), "two": (AdapterUse(1),), "own": None}
    prompts = ("a first prompt that all of them get", "and another one")
    alone, together = {}, {}
    with Running(real.model, real) as running:
        for name, use in uses.items():
            for number, prompt in enumerate(prompts):
                request = f"alone-{name}-{number}"
                running.ask(asked(request, prompt, use, terms))
                alone[name, number] = running.texts[request]
                real.clear()
    real.clear()
    with Running(real.model, real) as running:
        for number, use in enumerate(uses.values()):
            running.send(asked(f"load-{number}", f"something else {number}", use, Terms()))
        for name, use in uses.items():
            for number, prompt in enumerate(prompts):
                running.send(asked(f"{name}-{number}", prompt, use, terms))
        for name in uses:
            for number in range(len(prompts)):
                running.ending(f"{name}-{number}")
                together[name, number] = running.texts[f"{name}-{number}"]
        for number in range(len(uses)):
            running.ending(f"load-{number}")
    real.clear()
    assert together == alone
    assert len({alone[name, 0] for name in uses}) == len(uses), "an adapter changed nothing"


@pytest.mark.live
def test_an_adapter_of_another_model_fails_the_load(tmp_path):
    from runner.engine.llama.backend import LlamaBackend

    model = adaptable_model(tmp_path / "model.gguf")
    wrong = adapter(tmp_path / "wrong.gguf", architecture="qwen2")
    load = Load("l", str(model), n_ctx=64, n_cells=64, n_seq_max=1, adapters=(str(wrong),))
    with pytest.raises(WorkerError, match="could not load adapter 0"):
        LlamaBackend(load)
