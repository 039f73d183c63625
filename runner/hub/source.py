"""What a source of models promises: it knows its names, and says which files a name means.

Fetching the files is not its business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from runner.domain.name import ModelName


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file that a name means.

    Attributes:
        name: File name, without folders.
        location: URL, or absolute path when ``is_local``.
        is_local: Whether it already lies on this machine.
        n_bytes: Its size.
        sha256: 64 hex digits, when the source promises them.
        license: SPDX identifier; empty when the source does not say.
        provenance: What to record about where the file came from; no secrets.
        headers: Sent to the host of ``location`` alone, such as a token; never logged.
        candidates: The same bytes elsewhere: files with the same ``sha256`` and other locations.
    """

    name: str
    location: str
    is_local: bool
    n_bytes: int
    sha256: str | None = None
    license: str = ""
    provenance: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    candidates: tuple[RemoteFile, ...] = ()


class Source(Protocol):
    """A place that models come from."""

    def claims(self, name: ModelName) -> bool:
        """Whether ``name`` is one of its names; asks nobody."""
        ...

    def resolve(self, name: ModelName) -> list[RemoteFile]:
        """Return the files that ``name`` means, the model itself first; may block.

        Raises:
            ModelNotFound: It has no such model, or does not claim the name.
            SourceError: It could not be asked.
        """
        ...
