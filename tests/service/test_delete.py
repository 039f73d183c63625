"""Deleting one of several names of the same weights: what must leave memory, and what must not."""

import asyncio
import hashlib
from types import SimpleNamespace

import pytest

from runner.domain.name import ModelName
from runner.service.models import ModelService
from runner.store.library import Library
from tests.fakes.gguf_files import write_model

N = ModelName.parse


class OneResident:
    """A pool with one model in memory, loaded under ``name``; it notes what is unloaded."""

    def __init__(self, name):
        self.rows = [SimpleNamespace(info=SimpleNamespace(name=N(name)))]
        self.unloaded = []

    def resident(self):
        return self.rows

    async def unload(self, key):
        self.unloaded.append(key)
        return True


@pytest.mark.parametrize(
    ("names", "resident", "deleted", "is_unloaded"),
    [
        (["tiny", "alias"], "tiny", "alias", False),
        (["tiny", "alias"], "alias", "alias", True),
        (["tiny"], "tiny", "tiny", True),
        (["tiny"], "gone", "tiny", True),
    ],
)
def test_what_another_name_runs_stays_in_memory(tmp_path, names, resident, deleted, is_unloaded):
    library, pool = Library(tmp_path / "models"), OneResident(resident)
    file = write_model(tmp_path / "tiny.gguf")
    for name in names:
        list(library.import_file(file, N(name), provenance={"source": "test"}))
    asyncio.run(ModelService(library, pool).delete(N(deleted)))
    digest = f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
    assert pool.unloaded == ([digest] if is_unloaded else [])
    assert N(deleted) not in [info.name for info in library.list()]
