"""Measuring as jobs: real processes, and reports that stay with the weights."""

from __future__ import annotations

import asyncio

import pytest

from runner.domain.job import JobState
from runner.domain.name import ModelName
from runner.domain.quality import BenchRequest, QualityRequest
from runner.errors import InvalidRequest, JobUnderWay, ModelNotFound, Unsupported
from runner.paths import own_command
from runner.service.jobs import JobService
from runner.service.models import ModelService
from runner.service.quality import QualityService
from runner.service.tools import Tools
from runner.store.library import Library
from tests.fakes.random_models import random_llama, random_ranker

ONE, OTHER = ModelName.parse("one"), ModelName.parse("other")
TEXT = "what is the use of a book, without pictures or conversations?\n" * 4


@pytest.fixture
def library(tmp_path):
    library = Library(tmp_path / "models")
    for seed, name in enumerate((ONE, OTHER)):
        path = tmp_path / f"{name.model}.gguf"
        random_llama(path, seed=seed)
        list(library.import_file(path, name, provenance={"source": "file"}))
    return library


def run(library, story):
    async def all_of_it():
        jobs = JobService()
        tools = Tools(own_command("_tool", "warning"), 1)
        try:
            return await story(QualityService(library, jobs, tools), jobs)
        finally:
            await jobs.close()

    return asyncio.run(all_of_it())


async def followed(jobs, job):
    return [moment async for moment in jobs.follow(job.job_id)]


def asked(**more):
    fields = {"model": ONE, "text": TEXT, "text_name": "alice", "n_ctx": 32, "n_windows": 2}
    return QualityRequest(**{**fields, **more})


def test_a_measurement_is_kept_with_the_weights_and_shown(library):
    copied = ModelName.parse("copied")

    async def story(service, jobs):
        job = await service.begin_perplexity(asked(source=OTHER))
        assert (job.kind, job.is_attended) == ("perplexity", False)
        assert (await followed(jobs, job))[-1].phase == "success"
        assert jobs.get(job.job_id).state is JobState.DONE
        library.copy(ONE, copied)
        assert await service.quality(OTHER) == ()
        (report,) = await service.quality(copied)
        details = await ModelService(library, None).show(ONE)
        assert details.quality == report
        return report

    report = run(library, story)
    assert (report.source, report.text, report.n_windows) == ("other:latest", "alice", 2)
    assert report.kld_mean > 0
    assert report.perplexity > 1
    assert (report.quantization, report.n_bytes) == ("F32", library.find(ONE).n_bytes)


def test_the_latest_report_comes_first(library):
    async def story(service, jobs):
        for n_windows in (1, 2):
            job = await service.begin_perplexity(asked(n_windows=n_windows))
            await followed(jobs, job)
        return await service.quality(ONE)

    assert [report.n_windows for report in run(library, story)] == [2, 1]


def test_without_a_text_pythons_own_manual_is_read(library):
    async def story(service, jobs):
        job = await service.begin_perplexity(QualityRequest(ONE, n_ctx=64, n_windows=1))
        await followed(jobs, job)
        return await service.quality(ONE)

    (report,) = run(library, story)
    assert "manual" in report.text
    assert len(report.text_sha256) == 64


def test_what_cannot_be_measured_is_refused_before_there_is_a_job(library, tmp_path):
    ranker = ModelName.parse("ranker")
    path = random_ranker(tmp_path / "ranker.gguf")
    list(library.import_file(path, ranker, provenance={"source": "file"}))
    library.copy(ONE, ModelName.parse("same"))

    async def story(service, jobs):
        with pytest.raises(ModelNotFound):
            await service.begin_perplexity(asked(model=ModelName.parse("nowhere")))
        with pytest.raises(ModelNotFound):
            await service.begin_perplexity(asked(source=ModelName.parse("nowhere")))
        with pytest.raises(Unsupported):
            await service.begin_perplexity(asked(model=ranker))
        with pytest.raises(Unsupported):
            await service.begin_bench(BenchRequest(ranker))
        with pytest.raises(InvalidRequest, match="the same weights"):
            await service.begin_perplexity(asked(source=ModelName.parse("same")))
        with pytest.raises(InvalidRequest, match="holds 4096 tokens"):
            await service.begin_bench(BenchRequest(ONE, depths=(4096,)))
        assert jobs.list_jobs() == []

    run(library, story)


def test_a_text_that_is_too_short_fails_the_job_with_the_counts(library):
    async def story(service, jobs):
        job = await service.begin_perplexity(asked(text="short"))
        with pytest.raises(InvalidRequest, match="6 tokens"):
            await followed(jobs, job)
        assert jobs.get(job.job_id).error.code == "invalid_request"
        assert await service.quality(ONE) == ()

    run(library, story)


def test_a_bench_is_kept_and_does_not_stand_still(library):
    request = BenchRequest(ONE, (0,), (1, 2), n_prompt=8, n_generate=4, n_repeats=1)

    async def story(service, jobs):
        job = await service.begin_bench(request)
        with pytest.raises(InvalidRequest, match="cannot pause"):
            jobs.pause(job.job_id)
        with pytest.raises(JobUnderWay, match="with other settings"):
            await service.begin_bench(BenchRequest(ONE, (0,), (1,)))
        await followed(jobs, job)
        return await service.benches(ONE)

    (report,) = run(library, story)
    assert [(row.depth, row.concurrency) for row in report.rows] == [(0, 1), (0, 2)]
    assert all(row.generate_tps > 0 for row in report.rows)


def test_reports_of_models_that_are_gone_are_tidied(library):
    async def story(service, jobs):
        await followed(jobs, await service.begin_perplexity(asked()))
        service.tidy()
        assert await service.quality(ONE)
        library.delete(ONE)
        service.tidy()
        assert list((library.models / "reports").iterdir()) == []

    run(library, story)
