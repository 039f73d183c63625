"""A hub's repositories as a source of models: what both hubs have in common.

What a hub answers is a ``Listing``; ``choose.py`` says which of its files are meant.  Where the
other hub has a repository of the same name, files with the same sha256 become candidates there.
"""

from __future__ import annotations

import difflib
import json
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, TimeoutError as NotInTime
from dataclasses import dataclass, replace
from typing import Any, Protocol

from runner.domain.model import Capability
from runner.domain.name import ModelName
from runner.domain.sizes import size_text
from runner.errors import CorralError, ModelNotFound, NotOnHub
from runner.hub.choose import Choice, RepoFile, Variant, choose
from runner.hub.source import Candidate, Headers, Recipe, RemoteFile, Role

logger = logging.getLogger(__name__)

#: Files of Ollama's bridge to Hugging Face, in a repository's root, and their largest size.
_BRIDGE = ("template", "system", "params")
_MAX_TEXT = 1 << 20

#: Seconds that the other hub may take longer than the one that was asked for.
_PATIENCE_S = 4.0


@dataclass(frozen=True, slots=True)
class Listing:
    """What a hub says about one repository at one revision.

    Attributes:
        host: Of the hub, as names spell it: ``hf.co``.
        repository: ``owner/name`` as the hub spells it now.
        revision: The commit where the hub tells one of the whole, else the branch; its files may
            have commits of their own then.
        files: All its files.
        license: SPDX identifier or name; empty when it does not say.
        renamed_from: What was asked for, when the hub has another name for it by now.
        is_gated: Whether the files may be closed to us, though the list is not.
    """

    host: str
    repository: str
    revision: str
    files: tuple[RepoFile, ...]
    license: str = ""
    renamed_from: str = ""
    is_gated: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """One line of a search.

    Attributes:
        host: Of the hub.
        repository: ``owner/name``.
        n_likes: How many people like it.
        n_downloads: How often it was fetched, by the hub's own way of counting.
        license: SPDX identifier or name; empty when the hub does not say.
        is_gated: Whether its owner wants a licence accepted first.
        variants: Its models by quantization, smallest first; empty when not looked up.
        languages: What it speaks by its owner's words, ISO 639-1.
        abilities: What it can do beside completing, as far as the hub tells.
    """

    host: str
    repository: str
    n_likes: int = 0
    n_downloads: int = 0
    license: str = ""
    is_gated: bool = False
    variants: tuple[Variant, ...] = ()
    languages: tuple[str, ...] = ()
    abilities: tuple[Capability, ...] = ()


class Hub(Protocol):
    """One hub; every call may block, and raises ``CorralError`` and nothing else on purpose."""

    host: str  # as names spell it

    def claims(self, host: str) -> bool:
        """Whether names with this host are the hub's; asks nobody."""
        ...

    def listing(self, repository: str, revision: str = "") -> Listing:
        """Return what lies in ``owner/name`` at a revision; ``""`` is the default branch.

        Raises:
            NotOnHub: There is no such repository or revision; its hint is empty for the former.
            AccessDenied: It is not open to us.
            RateLimited: The hub wants to be left alone.
            Offline: Its client may not use the network.
            SourceError: It cannot be reached, or answers nonsense.
        """
        ...

    def check_access(self, listing: Listing) -> None:
        """Return when the files of ``listing`` are open to us; raises like ``listing``."""
        ...

    def url(self, listing: Listing, path: str, commit: str = "") -> str:
        """Return where a file of ``listing`` is fetched, as of ``commit`` if given; asks nobody."""
        ...

    def headers(self) -> Mapping[str, str]:
        """Return what the hub's own host wants to see; secrets among them."""
        ...

    def read_text(self, listing: Listing, path: str) -> str:
        """Return a small file's text; raises like ``listing``."""
        ...

    def search(self, words: str, limit: int) -> list[Found]:
        """Return repositories with GGUF files, most downloaded first; raises like ``listing``."""
        ...


class HubSource:
    """The source of names that begin with a hub's host."""

    def __init__(self, hub: Hub, *, others: Sequence[Hub] = (), memory_bytes: int = 0) -> None:
        """``others`` are asked for the same repository, for places to go on from."""
        self._hub = hub
        self._others = others
        self._memory_bytes = memory_bytes

    def claims(self, name: ModelName) -> bool:
        """Whether ``name`` begins with the hub's host."""
        return self._hub.claims(name.host.lower())

    def resolve(self, name: ModelName) -> list[RemoteFile]:
        """Return the model's file, its further shards, then its projector.

        Raises:
            ModelNotFound: The name is not the hub's.
            NotOnHub: There is no such repository, revision, file or quantization.
            SourceError: The hub refused or failed, see ``Hub.listing``.
        """
        if not self.claims(name):
            raise ModelNotFound(str(name))
        repository = f"{name.namespace}/{name.model}"
        others = [_later(_quietly, other, repository) for other in self._others]
        try:
            listing = self._hub.listing(repository, name.revision)
        except NotOnHub as error:
            if error.hint:
                raise
            raise NotOnHub(error.message, hint=_near(self._hub, name)) from None
        choice = choose(
            listing.files,
            name.tag,
            file=name.file,
            memory_bytes=self._memory_bytes,
            where=f"{listing.host}/{listing.repository}",
        )
        self._hub.check_access(listing)
        files = remote_files(self._hub, listing, choice, recipe=_recipe(self._hub, listing, choice))
        for hub, other in zip(self._others, others, strict=True):
            files = with_candidates(files, hub, _awaited(other))
        by_path = {file.path: file for file in listing.files}
        return [_pinned(self._hub, listing, by_path[f.provenance["file"]], f) for f in files]


def remote_files(hub: Hub, listing: Listing, choice: Choice, *, recipe: Recipe) -> list[RemoteFile]:
    """Return the chosen files as they are fetched from ``hub``: model, shards, projector."""
    roles = [(file, Role.SHARD) for file in choice.variant.files]
    roles[0] = (roles[0][0], Role.MODEL)
    if choice.projector is not None:
        roles.append((choice.projector, Role.PROJECTOR))
    headers: Headers = hub.headers
    return [
        RemoteFile(
            name=file.name,
            location=hub.url(listing, file.path),
            is_local=False,
            n_bytes=file.n_bytes,
            sha256=file.sha256,
            license=listing.license,
            provenance=_provenance(listing, file),
            role=role,
            headers=headers,
            recipe=recipe if role is Role.MODEL else Recipe(),
        )
        for file, role in roles
    ]


def with_candidates(files: list[RemoteFile], hub: Hub, listing: Listing | None) -> list[RemoteFile]:
    """Return ``files``, each with the places in ``listing`` that hold the same bytes."""
    if listing is None:
        return files
    by_sha256 = {file.sha256: file for file in listing.files if file.sha256}
    return [
        replace(file, candidates=(*file.candidates, _candidate(hub, listing, same)))
        if (same := by_sha256.get(file.sha256 or "")) and same.n_bytes == file.n_bytes
        else file
        for file in files
    ]


def _pinned(hub: Hub, listing: Listing, known: RepoFile, file: RemoteFile) -> RemoteFile:
    """Return ``file`` with the place that still has it once its branch has moved on, if any."""
    if not known.commit or not known.sha256 or known.commit == listing.revision:
        return file
    location = hub.url(listing, known.path, known.commit)
    pinned = Candidate(location, hub.headers, file.provenance)
    return replace(file, candidates=(*file.candidates, pinned))


def _candidate(hub: Hub, listing: Listing, file: RepoFile) -> Candidate:
    return Candidate(hub.url(listing, file.path), hub.headers, _provenance(listing, file))


def _provenance(listing: Listing, file: RepoFile) -> dict[str, str]:
    told = {
        "source": f"hub:{listing.host}",
        "repository": listing.repository,
        "revision": file.commit or listing.revision,
        "file": file.path,
    }
    if told["revision"] != listing.revision:
        told["listed_at"] = listing.revision
    if listing.license:
        told["license"] = listing.license
    if listing.renamed_from:
        told["renamed_from"] = listing.renamed_from
    return told


def _recipe(hub: Hub, listing: Listing, choice: Choice) -> Recipe:
    """Return what the repository says beside the weights, in the files of Ollama's bridge."""
    note = f"{choice.variant.label} ({size_text(choice.variant.n_bytes)}): {choice.reason}"
    if listing.renamed_from:
        note += f"; {listing.renamed_from} is now {listing.repository}"
    texts = {
        file.path: hub.read_text(listing, file.path)
        for file in listing.files
        if file.path in _BRIDGE and file.n_bytes <= _MAX_TEXT
    }
    parameters = _parameters(texts.get("params", ""))
    if parameters is None:
        note += "; its file params is left out, since it is no JSON object"
    return Recipe(
        parameters=parameters or {},
        system=texts.get("system", "").strip(),
        template=texts.get("template", ""),
        note=note,
    )


def _parameters(text: str) -> Mapping[str, Any] | None:
    if not text.strip():
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _near(hub: Hub, name: ModelName) -> str:
    """Return a hint for a repository that is not there: names like it, if the hub has any."""
    wanted = f"{name.namespace}/{name.model}"
    try:
        there = [found.repository for found in hub.search(name.model, 10)]
    except CorralError:
        there = []
    lower = {repository.lower(): repository for repository in there}
    near = difflib.get_close_matches(wanted.lower(), lower, n=3, cutoff=0.5)
    if near:
        return "did you mean " + " or ".join(f"{hub.host}/{lower[key]}" for key in near) + "?"
    return f"check the spelling, or find it with: corral search {name.model}"


# The other hub: asked beside, and never in the way.

_asking = ThreadPoolExecutor(max_workers=4, thread_name_prefix="hub-beside")


def _later(ask: Any, hub: Hub, repository: str) -> Future[Listing | None]:
    return _asking.submit(ask, hub, repository)


def _quietly(hub: Hub, repository: str) -> Listing | None:
    try:
        return hub.listing(repository)
    except CorralError as error:
        logger.info("no candidates hub=%s reason=%s", hub.host, error.code)
        return None


def _awaited(asked: Future[Listing | None]) -> Listing | None:
    try:
        return asked.result(_PATIENCE_S)
    except NotInTime:
        asked.cancel()  # if it waits for its turn behind others, nobody wants to know any more
        return None
