"""How models are sized for the memory there is, and refused; and what is learnt of a machine."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given, strategies as st

from runner.domain.options import Options
from runner.errors import NotEnoughMemory, PromptTooLong
from runner.service.advice import Ways, advice
from runner.service.calibration import Calibration
from runner.service.inference import InferenceService
from runner.service.memory import MemoryService
from runner.workers.pool import Pool
from tests.service.test_inference import Place, chat
from tests.workers.pieces import SETTINGS

GIB, MIB = 1 << 30, 1 << 20


def memory_of(library, *, n_free, **more):
    pool = Pool(SETTINGS, lambda: n_free)
    return MemoryService(library, pool, memory_bytes=8 * GIB, available=lambda: n_free, **more)


def test_a_model_gets_what_it_was_trained_for_where_that_fits(library, name):
    memory = memory_of(library, n_free=4 * GIB)
    fitted = memory.fit(library.find(name), Options(), asked=0)
    assert fitted.sizes.n_ctx == 8192
    assert fitted.sizes.n_least == 4096
    assert fitted.n_bytes > library.find(name).facts.n_weights_bytes


def test_a_context_beyond_memory_is_cut_and_told(library, name):
    """The tiny model keeps 128 bytes a token, and its process 32 MB."""
    memory = memory_of(library, n_free=36 * MIB)
    options = Options(num_parallel=1, num_batch=32, rope_frequency_scale=0.01)
    fitted = memory.fit(library.find(name), options, asked=100_000)
    assert 4096 <= fitted.sizes.n_ctx < 100_000
    assert fitted.n_bytes <= 36 * MIB
    assert f"{fitted.sizes.n_ctx} tokens fit" in fitted.note
    assert "num_ctx 100000" in fitted.note


def test_a_context_beyond_what_the_model_was_made_for_is_cut_and_told(library, name):
    memory = memory_of(library, n_free=1 << 34)
    n_max = library.find(name).facts.n_ctx_train
    assert memory.fit(library.find(name), Options(), asked=n_max).note == ""
    fitted = memory.fit(library.find(name), Options(), asked=n_max + 1)
    assert fitted.sizes.n_ctx == n_max
    assert f"num_ctx {n_max + 1} was asked for, the model was made for {n_max}" in fitted.note


def test_what_never_fits_is_refused_with_the_numbers(library, name):
    memory = memory_of(library, n_free=20 * MIB)
    with pytest.raises(NotEnoughMemory, match=r"needs \d+ MB .* context of 4096 tokens"):
        memory.fit(library.find(name), Options(), asked=0)


def test_nothing_is_refused_where_other_devices_may_hold_it(library, name):
    memory = memory_of(library, n_free=20 * MIB, is_sure=lambda: False)
    assert memory.fit(library.find(name), Options(), asked=0).n_bytes == 0


def test_an_estimate_tells_parts_that_fit_or_not(library, name):
    async def story():
        found = library.find(name)
        rich = await memory_of(library, n_free=4 * GIB).need(found, Options())
        poor = await memory_of(library, n_free=20 * MIB).need(found, Options())
        assert rich.fits
        assert not rich.advice
        assert not poor.fits
        assert rich.n_kv == rich.n_cells * 128
        assert rich.n_weights == library.find(name).facts.n_weights_bytes

    asyncio.run(story())


def test_a_prompt_beyond_the_context_loads_a_larger_one_where_none_was_chosen(library, name):
    async def story():
        pool = Pool(SETTINGS, lambda: 4 * GIB)
        memory = MemoryService(library, pool, memory_bytes=GIB, available=lambda: 8 * MIB)
        service = InferenceService(library, pool, context_length=0, memory_bytes=GIB, memory=memory)
        place = Place(service, pool, library, library.model_path(library.find(name)))
        try:
            assert await place.events(chat(name, "say 1"))
            assert (await place.events(chat(name, "long 5000", num_predict=1)))[-1]
            assert [words[1] for words in place.heard("load")] == ["4096", "8192"]
            with pytest.raises(PromptTooLong, match="9000"):
                await place.events(chat(name, "long 9000"))
            with pytest.raises(PromptTooLong, match="8192"):
                await place.events(chat(name, "long 8192", num_ctx=4096))
        finally:
            await pool.close()

    asyncio.run(story())


def test_a_factor_is_learnt_kept_and_forgiving(tmp_path):
    path = tmp_path / "state" / "memory.json"
    first = Calibration(path)
    assert first.factor("a") == 1.0
    for _ in range(20):
        first.learn("a", 150, 100)
    first.save()
    again = Calibration(path)
    assert again.factor("a") == pytest.approx(1.5, abs=0.01)
    assert again.factor("never seen") >= 1.0
    assert json.loads(path.read_text())["format"] == 1
    path.write_text("{")
    assert Calibration(path).factor("a") == 1.0
    path.write_text('{"format": 99, "factors": {"a": 1.5}}')
    assert Calibration(path).factor("a") == 1.0


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(), st.integers()), max_size=30))
def test_whatever_is_measured_a_factor_stays_within_reason(measurements):
    known = Calibration()
    for key, measured, estimated in measurements:
        known.learn(key, measured, estimated)
    assert all(1.0 <= known.factor(key) <= 2.0 for key in "abc")


def ways(n_free, *, n_layers=0):
    """A model of 8 GB with a cache of 100 KB a token."""

    def needed(n_ctx, kv_type="", n_gpu=None):
        share = {"": 1.0, "q8_0": 0.5, "q4_0": 0.25}[kv_type]
        return int(8e9 * (1 - (n_gpu or 0) / 33) + n_ctx * 100_000 * share)

    return Ways(needed, n_free, 32768, "f16", int(8e9), int(8e9), n_layers)


def test_advice_names_what_would_fit():
    assert advice(ways(20 * 10**9)) == ()
    told = advice(ways(9 * 10**9, n_layers=32))
    assert told[0] == "ask for a context of 9728 tokens or less (num_ctx)"
    assert any("q4_0" in line for line in told)
    assert any("num_gpu" in line for line in told)
    assert advice(ways(5 * 10**9)) == ("use a smaller quantization: Q3_K_M or below",)
    assert advice(ways(10**6)) == ()


@given(st.integers(0, 20 * 10**9))
def test_advice_is_true(n_free):
    found = ways(n_free)
    for line in advice(found):
        if "context of" in line:
            n_ctx = int(line.split("context of ")[1].split()[0])
            assert found.needed(n_ctx) <= n_free
        if "cache of type" in line:
            kind = line.split("type ")[1].split()[0]
            assert found.needed(found.n_ctx, kv_type=kind) <= n_free
