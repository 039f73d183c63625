"""The oracle, where Go is installed."""

import shutil

import pytest

from tests.prompt.gotemplate.oracle import Oracle


@pytest.fixture(scope="session")
def oracle(tmp_path_factory):
    if shutil.which("go") is None:
        pytest.skip("Go is not installed: its text/template cannot be asked")
    oracle = Oracle(tmp_path_factory.mktemp("go"))
    yield oracle
    oracle.close()
