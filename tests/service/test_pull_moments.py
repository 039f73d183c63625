"""What followers of a pull are told: every change, and nothing twice."""

import asyncio
from itertools import pairwise

from runner.domain.name import ModelName
from runner.service.jobs import JobService
from runner.store.library import Library
from tests.fakes.gguf_files import write_model


def test_no_moment_is_told_twice_in_a_row(tmp_path):
    file = write_model(tmp_path / "tiny.gguf")
    library = Library(tmp_path / "models")

    async def follow():
        def work(run):
            for moment in list(library.import_file(file, name, provenance={})):
                yield moment
                yield moment

        name = ModelName.parse("tiny")
        jobs = JobService()
        job = await jobs.begin("pull", str(name), work, is_attended=True)
        return [moment async for moment in jobs.follow(job.job_id)]

    moments = asyncio.run(follow())
    assert moments[-1].phase == "success"
    assert all(one != next_ for one, next_ in pairwise(moments))
