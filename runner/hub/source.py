"""What a source of models promises: it knows its names, and says which files a name means.

Fetching the files is not its business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from runner.domain.name import ModelName


class Role(StrEnum):
    """What a file is to its model."""

    MODEL = "model"  # the weights, or the first part of them
    SHARD = "shard"  # a further part of the weights, in order
    PROJECTOR = "projector"  # turns images or sounds into embeddings
    ADAPTER = "adapter"


#: Makes the headers for one request; called each time, so that no secret is kept with a job.
Headers = Callable[[], Mapping[str, str]]


def no_headers() -> Mapping[str, str]:
    """Return the headers for a place that needs none."""
    return {}


@dataclass(frozen=True, slots=True)
class Candidate:
    """Another place that holds the very same bytes, as its sha256 says.

    Attributes:
        location: URL.
        headers: What the location's own host, and no other, wants to see; never logged.
        provenance: As in ``RemoteFile``.
    """

    location: str
    headers: Headers = field(default=no_headers, repr=False, compare=False)
    provenance: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What belongs to the model beside its files.

    Attributes:
        parameters: Options by name, not yet checked: a stranger may have written them.
        system: The model's own system message.
        template: A chat template in place of the file's own, in Jinja or Go's language, not yet
            checked; empty: the file's.
        note: What was chosen and why, in words fit to show.
    """

    parameters: Mapping[str, Any] = field(default_factory=dict)
    system: str = ""
    template: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file that a name means.

    Attributes:
        name: File name, without folders.
        location: URL, or absolute path when ``is_local``.
        is_local: Whether it already lies on this machine.
        n_bytes: Its size.
        sha256: 64 hex digits, when the source promises them.
        license: SPDX identifier or name; empty when the source does not say.
        provenance: What to record about where the file came from; no secrets.
        role: What it is to the model.
        headers: What the location's own host, and no other, wants to see; never logged.
        candidates: Other places with the same sha256.
        recipe: What belongs to the model beside its files; told by its first file.
    """

    name: str
    location: str
    is_local: bool
    n_bytes: int
    sha256: str | None = None
    license: str = ""
    provenance: Mapping[str, str] = field(default_factory=dict)
    role: Role = Role.MODEL
    headers: Headers = field(default=no_headers, repr=False, compare=False)
    candidates: tuple[Candidate, ...] = ()
    recipe: Recipe = Recipe()


class Source(Protocol):
    """A place that models come from."""

    def claims(self, name: ModelName) -> bool:
        """Whether ``name`` is one of its names; asks nobody."""
        ...

    def resolve(self, name: ModelName) -> list[RemoteFile]:
        """Return the files that ``name`` means, the model itself first; may block.

        Raises:
            ModelNotFound: It has no such model, or does not claim the name.
            SourceError: It could not be asked, or refused.
        """
        ...
