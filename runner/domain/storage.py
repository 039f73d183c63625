"""The library on the disk as others see it: what takes the room, what is damaged, what can go."""

from __future__ import annotations

from dataclasses import dataclass

from runner.domain.name import ModelName


@dataclass(frozen=True, slots=True)
class ModelUse:
    """What one name takes of the disk.

    Attributes:
        name: The model.
        n_bytes: Of all its files.
        n_shared: Of them, those that other names use too: removing this one does not free them.
    """

    name: ModelName
    n_bytes: int
    n_shared: int


@dataclass(frozen=True, slots=True)
class DiskUse:
    """What the library takes of the disk, in bytes.

    Attributes:
        folder: Where it is.
        models: Each name, the one that frees most first.
        n_model: Of all files that a name uses, each counted once.
        n_unused: Of files that no name uses.
        n_partial: Of downloads and copies that are not at their end.
        n_quarantine: Of downloads that were not what they should be.
        n_free: Free on the disk.
    """

    folder: str
    models: tuple[ModelUse, ...]
    n_model: int
    n_unused: int
    n_partial: int
    n_quarantine: int
    n_free: int


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a model's files.

    Attributes:
        model: As the library spells it; the manifest's path when that means no name.
        file: The blob's file name; empty when the manifest itself is damaged.
        reason: What is wrong, for people.
        hint: What to do about it.
        n_bad: Bytes that must come again, where that is known; else 0.
    """

    model: str
    file: str
    reason: str
    hint: str
    n_bad: int = 0


@dataclass(frozen=True, slots=True)
class Verified:
    """What a look at the library found.

    Attributes:
        n_models: Names looked at.
        n_bytes: Bytes read and compared with their digests.
        faults: What is wrong; empty is good.
    """

    n_models: int
    n_bytes: int
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True)
class Repaired:
    """What was mended.

    Attributes:
        model: The name.
        n_files: Files that were damaged and are whole again.
        n_bytes: Of those files.
        n_fetched: Bytes of them that had to come again.
    """

    model: ModelName
    n_files: int
    n_bytes: int
    n_fetched: int


@dataclass(frozen=True, slots=True)
class Removable:
    """A file that nothing needs.

    Attributes:
        path: Below the models folder.
        n_bytes: Its size.
        reason: Why it can go, for people.
    """

    path: str
    n_bytes: int
    reason: str


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was removed, or would be.

    Attributes:
        files: Each of them.
        is_dry: Whether they are still there.
        kept: Why nothing could be judged, when a manifest cannot be read; else empty.
    """

    files: tuple[Removable, ...]
    is_dry: bool
    kept: str = ""

    @property
    def n_bytes(self) -> int:
        """Of all files."""
        return sum(file.n_bytes for file in self.files)


@dataclass(frozen=True, slots=True)
class FolderPlan:
    """What it takes to have the library in another folder.

    Attributes:
        folder: The other one.
        before: Where it is now.
        n_models: Names that the library has.
        n_bytes: Of all its files.
        n_left: Bytes that are still to be written there; on the same disk none.
        n_free: Free there.
        n_there: Names that a library in the other folder has already.
    """

    folder: str
    before: str
    n_models: int
    n_bytes: int
    n_left: int
    n_free: int
    n_there: int

    @property
    def fits(self) -> bool:
        """Whether there is room."""
        return self.n_left <= self.n_free


@dataclass(frozen=True, slots=True)
class Folder:
    """Where the library is.

    Attributes:
        folder: Now.
        usual: Where it is unless somebody chooses another one.
        fixed_by: The variable of the environment that says where, and which nothing else
            overrules; empty: it can be changed.
        is_there: Whether the folder can be read; a disk may have gone.
        n_bytes: Of the disk it is on.
        n_free: Free on that disk.
    """

    folder: str
    usual: str
    fixed_by: str
    is_there: bool
    n_bytes: int
    n_free: int
