"""Converting where there is no room: told in words, before anything is written if it can be."""

from __future__ import annotations

import subprocess
import sys

import pytest

from runner.errors import DiskFull
from runner.tools.convert.convert import _check_room
from tests.fakes.bert_folder import bert_folder
from tests.real_daemon import environment

#: Runs the task in a process that may write no file of more than 20,000 bytes.
LIMITED = """
import resource, sys
from pathlib import Path
from runner.errors import CorralError
from runner.protocol.tasks import Convert
from runner.tools.convert.task import run
files = {path.name: str(path) for path in Path(sys.argv[1]).iterdir() if path.is_file()}
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
try:
    run(Convert(files, sys.argv[2], "x"), lambda moment: None)
except CorralError as error:
    print(error.code, error.message)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit")
def test_a_disk_that_refuses_to_be_written_is_told_in_words(tmp_path):
    folder = bert_folder(tmp_path / "bert")
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(folder), str(tmp_path / "out.gguf")],
        env=environment(tmp_path, ""),
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    assert done.stdout.startswith("disk_full the converted model could not be written")


def test_what_will_not_fit_is_told_with_both_numbers(tmp_path):
    _check_room(tmp_path, 1)
    with pytest.raises(DiskFull, match=rf"{1 << 62} bytes are needed .* \d+ bytes are free"):
        _check_room(tmp_path, 1 << 62)
