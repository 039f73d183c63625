"""What followers of a pull are told: every change, and nothing twice."""

import asyncio
from itertools import pairwise

from runner.domain.name import ModelName
from runner.service.pull import PullService
from runner.store.library import Library
from tests.fakes.gguf_files import write_model


def test_no_moment_is_told_twice_in_a_row(tmp_path):
    file = write_model(tmp_path / "tiny.gguf")
    service = PullService(Library(tmp_path / "models"), [])

    async def follow():
        def work():
            for moment in list(service._library.import_file(file, name, provenance={})):
                yield moment
                yield moment

        name = ModelName.parse("tiny")
        return [moment async for moment in service._follow(name, work)]

    moments = asyncio.run(follow())
    assert moments[-1].phase == "success"
    assert all(one != next_ for one, next_ in pairwise(moments))
