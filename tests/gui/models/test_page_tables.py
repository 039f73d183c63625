"""The tables of library, jobs, requests and memory, read as a view reads them."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import pytest

from gui.models.job_table import job_table, share
from gui.models.library_table import library_rows, library_table
from gui.models.request_table import request_table
from gui.models.running_table import running_table
from gui.models.table import SORT_ROLE, Sorted
from runner.client.decode_keeping import Load
from runner.domain.job import Job, JobError, JobState
from runner.domain.model import Capability, ModelInfo, RunningModel
from runner.domain.name import ModelName
from runner.domain.request import Priority
from runner.domain.running import RequestState, RunningRequest

pytestmark = pytest.mark.usefixtures("application")


def model(name, digest="", **more):
    known = {
        "name": ModelName.parse(name),
        "digest": digest or name,
        "n_bytes": 2_500_000_000,
        "modified_at": time.time() - 7200,
        "architecture": "llama",
        "n_params": 4_000_000_000,
        "quantization": "Q4_K_M",
        "n_ctx_train": 32768,
        "n_embd": 2048,
        "capabilities": (Capability.COMPLETION, Capability.TOOLS, Capability.VISION),
    }
    return ModelInfo(**{**known, **more})


def resident(info, **more):
    known = {
        "info": info,
        "n_resident": 3_000_000_000,
        "n_vram": 0,
        "n_ctx": 8192,
        "expires_at": math.inf,
        "pid": 77,
        "n_active": 2,
        "n_steps": 5,
        "n_tokens": 12345,
    }
    return RunningModel(**{**known, **more})


def cells(table, row=0):
    return {column.heading: table.index(row, at).data() for at, column in enumerate(table.columns)}


def test_the_library_tells_what_is_known_of_a_model():
    info = model("aster:4b", used_at=time.time() - 90)
    table = library_table()
    table.set_rows(library_rows([info], [resident(info)]))
    assert cells(table) == {
        "Name": "aster:4b",
        "Size": "2.5 GB",
        "Quantization": "Q4_K_M",
        "In memory": "3.0 GB",
        "Weights": "4B",
        "Context": "32,768",
        "Architecture": "llama",
        "Abilities": "Tools, Vision",
        "Last used": "1 min ago",
        "Files": "",
        "Changed": "2 h ago",
    }


def test_a_model_that_was_asked_for_is_loading_until_it_is_there():
    info = model("aster:4b")
    (loading,) = library_rows([info], [], {"aster:4b"})
    assert loading.is_loading
    (there,) = library_rows([info], [resident(info)], {"aster:4b"})
    assert not there.is_loading
    assert there.running is not None


def test_a_load_that_another_program_asked_for_is_seen_with_its_share():
    table = library_table()
    info = model("a")
    table.set_rows(library_rows([info], loads={"a:latest": Load("upload", 40)}))
    assert cells(table)["In memory"] == "40 %"
    table.set_rows(library_rows([info], [resident(info)], loads={"a:latest": Load("upload", 40)}))
    assert cells(table)["In memory"] == "3.0 GB"


def test_deleting_one_of_two_names_frees_nothing():
    first, second, other = library_rows([model("a", "same"), model("b", "same"), model("c")])
    assert (first.others, first.n_freed) == (("b:latest",), 0)
    assert (second.others, second.n_freed) == (("a:latest",), 0)
    assert (other.others, other.n_freed) == ((), 2_500_000_000)


def test_the_library_is_sorted_by_numbers_and_not_by_their_words():
    sizes = (900_000, 12_000_000_000, 2_500_000_000)
    table = library_table()
    table.set_rows(library_rows([model(f"m{n}", n_bytes=n) for n in sizes]))
    ordered = Sorted(table)
    ordered.sort(1)
    assert [ordered.index(at, 1).data() for at in range(3)] == ["900 KB", "2.5 GB", "12.0 GB"]


def test_every_column_of_the_library_can_be_sorted_whatever_is_in_it():
    bare = model("bare", n_params=0, n_ctx_train=0, architecture="", capabilities=())
    full = model("full")
    table = library_table()
    table.set_rows(library_rows([bare, full], [resident(full)], {"bare:latest"}))
    ordered = Sorted(table)
    for column in range(table.columnCount()):
        ordered.sort(column)
        assert ordered.rowCount() == 2


JOB = Job(3, "pull", "hf.co/a/b:Q4_K_M", started=1.0)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, {"State": "Waiting", "Progress": ""}),
        (
            {
                "state": JobState.RUNNING,
                "phase": "pulling 0123",
                "n_done": 500_000_000,
                "n_bytes": 2_000_000_000,
                "rate_bps": 12_000_000,
                "eta_s": 125.0,
                "source": "hf.co",
                "limit_bps": 20_000_000,
            },
            {
                "State": "Downloading",
                "Progress": "25%",
                "Arrived": "500 MB / 2.0 GB",
                "Left": "3 min",
                "Source": "hf.co",
                "Details": "12 MB/s",
            },
        ),
        (
            {"state": JobState.RUNNING, "phase": "verifying sha256 digest"},
            {"State": "Verifying"},
        ),
        (
            {"state": JobState.FAILED, "error": JobError("disk_full", "no room", "make some")},
            {"State": "Failed", "Left": ""},
        ),
        (
            {"state": JobState.DONE, "n_bytes": 7_000, "finished": 1.0},
            {"State": "Done", "Progress": "100%", "Arrived": "7.0 KB"},
        ),
    ],
)
def test_a_job_says_where_it_is(change, expected):
    table = job_table()
    table.set_rows([replace(JOB, **change)])
    shown = cells(table)
    assert {heading: shown[heading] for heading in expected} == expected


def test_the_queue_stands_in_its_order_and_what_is_over_below():
    jobs = [
        replace(JOB, job_id=1, state=JobState.DONE),
        replace(JOB, job_id=2, place=2),
        replace(JOB, job_id=3, place=1, state=JobState.PAUSED),
        replace(JOB, job_id=4, state=JobState.FAILED),
    ]
    table = job_table()
    table.set_rows(jobs)
    keys = {job.job_id: table.index(at, 1).data(SORT_ROLE) for at, job in enumerate(jobs)}
    assert sorted(keys, key=keys.get) == [3, 2, 4, 1]


def test_a_hub_that_stands_in_for_another_is_told():
    def source(name, source):
        table = job_table()
        table.set_rows([Job(1, "pull", name, source=source)])
        return cells(table)["Source"]

    assert source("hf.co/own/tiny:Q4_0", "hf.co") == "hf.co"
    assert source("hf.co/own/tiny:Q4_0", "modelscope.cn") == "modelscope.cn, in place of hf.co"
    assert source("qwen3:4b", "modelscope.cn") == "modelscope.cn"
    assert source("./a file.gguf", "elsewhere") == "elsewhere"
    assert source("hf.co/own/tiny:Q4_0", "") == ""


def test_a_share_is_never_more_than_all():
    assert share(replace(JOB, n_done=11, n_bytes=10)) == 1.0
    assert share(JOB) < 0


def test_a_request_tells_state_place_and_tokens():
    request = RunningRequest(
        id="9",
        model=ModelName.parse("aster"),
        state=RequestState.QUEUED,
        position=2,
        priority=Priority.API,
        client_id="127.0.0.1:9",
        n_prompt=1200,
        n_cached=800,
        n_generated=5,
        started_at=0.0,
        seconds=61.0,
    )
    table = request_table()
    table.set_rows([request])
    assert cells(table) == {
        "Model": "aster:latest",
        "State": "Waiting (2)",
        "Prompt": "1,200",
        "Cached": "800",
        "Answer": "5",
        "Time": "2 min",
        "Priority": "API",
        "Client": "127.0.0.1:9",
    }


def test_a_model_in_memory_tells_what_it_holds():
    table = running_table()
    table.set_rows([resident(model("aster"))])
    assert cells(table) == {
        "Model": "aster:latest",
        "Memory": "3.0 GB",
        "Context": "8,192",
        "Requests": "2",
        "Tokens": "12,345",
        "Stays": "until unloaded",
        "Process": "77",
    }
