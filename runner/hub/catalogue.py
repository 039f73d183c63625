"""Short names: a folder of Modelfiles that say where a model is, on which hubs, under what licence.

    qwen3/4b        # a Modelfile; the name is qwen3:4b
        FROM hf.co/Qwen/Qwen3-4B-GGUF:Q4_K_M
        MIRROR modelscope.cn/Qwen/Qwen3-4B-GGUF:Q4_K_M
        ALIAS latest
        SIZE 2500000000
        LICENSE Apache-2.0
        PARAMETER temperature 0.6

A user's folder of the same shape lies over the program's own.  Which of the hubs goes first is a
setting, or found out by ``race.py``; the other one then holds the same bytes, or stands in.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from runner.domain.hub_url import HUGGING_FACE
from runner.domain.name import DEFAULT_HOST, DEFAULT_NAMESPACE, ModelName
from runner.domain.options import OPTION_SPECS, parse_option
from runner.errors import CorralError, InvalidRequest, ModelNotFound, NotOnHub
from runner.hub.race import Faster, first_of
from runner.hub.source import Candidate, Recipe, RemoteFile, Role, Source
from runner.modelfile.parse import Instruction, decode, parse

logger = logging.getLogger(__name__)

#: The hub that goes first: by name, or whichever answers first.
AUTO, HF, MODELSCOPE = "auto", "hf", "modelscope"
ORDERS = (AUTO, HF, MODELSCOPE)

_MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """One model and tag of the catalogue.

    Attributes:
        name: Its short name.
        places: Its repositories, in the file's order; all on hubs.
        aliases: Other tags for it.
        n_bytes: About how large it is; 0 when the entry does not say.
        sha256: Of its model file, when somebody has seen it.
        license: SPDX identifier or name.
        recipe: Its parameters and system message.
    """

    name: ModelName
    places: tuple[ModelName, ...]
    aliases: tuple[str, ...] = ()
    n_bytes: int = 0
    sha256: str | None = None
    license: str = ""
    recipe: Recipe = field(default_factory=Recipe)


def read_entry(name: ModelName, text: str) -> Entry:
    """Return the entry that a Modelfile makes for ``name``.

    Raises:
        InvalidRequest: It is no Modelfile, or says what no entry can; the message has the line.
    """
    entry = Entry(name, ())
    for instruction in parse(text):
        try:
            entry = _with(entry, instruction)
        except (CorralError, ValueError) as error:
            raise InvalidRequest(f"(line {instruction.line}): {error}", param="modelfile") from None
    return entry


def _with(entry: Entry, said: Instruction) -> Entry:
    """Return ``entry`` with one instruction more; raises in words."""
    match said.command:
        case "from" | "mirror":
            place = ModelName.parse(said.value)
            if place.host.lower() == DEFAULT_HOST:
                raise ValueError(f"'{said.value}' is on no hub")
            return replace(entry, places=(*entry.places, place))
        case "alias":
            alias = ModelName.parse(f"{entry.name.model}:{said.value}").tag
            return replace(entry, aliases=(*entry.aliases, alias))
        case "size":
            return replace(entry, n_bytes=int(said.value))
        case "sha256":
            if len(said.value) != 64 or not set(said.value) <= set("0123456789abcdef"):
                raise ValueError("a sha256 has 64 digits, 0 to f")
            return replace(entry, sha256=said.value)
        case "license":
            return replace(entry, license=said.value)
        case "system":
            return replace(entry, recipe=replace(entry.recipe, system=said.value))
        case "parameter":
            return replace(entry, recipe=_with_parameter(entry.recipe, said))
        case _:
            raise ValueError(f"{said.command.upper()} has no place in the catalogue")


def _with_parameter(recipe: Recipe, said: Instruction) -> Recipe:
    if said.key not in OPTION_SPECS:
        raise ValueError(f"unknown parameter '{said.key}'")
    value: Any
    if said.key == "stop":
        value = [*recipe.parameters.get("stop", ()), said.value]
    else:
        value = parse_option(said.key, json.loads(said.value))
    return replace(recipe, parameters={**recipe.parameters, said.key: value})


class Catalogue:
    """The entries below some folders, the first of which wins; read anew when asked.

    Safe from any thread.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders

    def find(self, name: ModelName) -> Entry | None:
        """Return the entry of a short name; ``None`` when there is none.

        Raises:
            InvalidRequest: Its Modelfile is damaged; the message names it.
        """
        host, namespace, model, tag = name.key
        if (host, namespace) != (DEFAULT_HOST, DEFAULT_NAMESPACE):
            return None
        for folder in self._folders:
            for path in _modelfiles(folder / model):
                entry = _read(path)
                if tag in (entry.name.tag.lower(), *(alias.lower() for alias in entry.aliases)):
                    return entry
        return None

    def tags(self, name: ModelName) -> list[str]:
        """Return the tags of a short name's family, damaged entries too; empty: no such family."""
        host, namespace, model, _ = name.key
        if (host, namespace) != (DEFAULT_HOST, DEFAULT_NAMESPACE):
            return []
        found = (path.name for folder in self._folders for path in _modelfiles(folder / model))
        return sorted(set(found))

    def mirrors(self, name: ModelName) -> list[ModelName]:
        """Return the other places of an entry that has ``name``'s repository, with its tag.

        None for a revision or a file: another hub's are not the same.
        """
        if name.revision or name.file:
            return []
        for entry in self.entries():
            if any(place.key[:3] == name.key[:3] for place in entry.places):
                others = [place for place in entry.places if place.host != name.host]
                return [replace(p, tag=name.tag, revision="", file="") for p in others]
        return []

    def entries(self) -> Iterator[Entry]:
        """Yield every entry once, by name; a damaged one is logged and left out."""
        seen: set[ModelName] = set()
        for folder in self._folders:
            for family in sorted(_folders_in(folder)):
                for path in _modelfiles(family):
                    try:
                        entry = _read(path)
                    except CorralError as error:
                        logger.warning("catalogue entry skipped path=%s: %s", path, error.message)
                        continue
                    if entry.name not in seen:
                        seen.add(entry.name)
                        yield entry


def _folders_in(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.is_dir()]
    except OSError:
        return []


def _modelfiles(family: Path) -> list[Path]:
    try:
        found = [p for p in family.iterdir() if p.is_file() and not p.name.startswith(".")]
    except OSError:
        return []
    return sorted(path for path in found if path.suffix.lower() not in (".md", ".txt", ".bak"))


def _read(path: Path) -> Entry:
    try:
        name = ModelName.parse(f"{path.parent.name}:{path.name}")
        with path.open("rb") as file:
            return read_entry(name, decode(file.read(_MAX_BYTES)))
    except (CorralError, OSError) as error:
        raise InvalidRequest(f"{path}: {error}", hint="mend or remove the file") from None


class CatalogueSource:
    """The source of short names: what the catalogue names, on whichever hub goes first."""

    def __init__(
        self, catalogue: Catalogue, hubs: Mapping[str, Source], *, order: str = AUTO
    ) -> None:
        """``hubs`` has the source for each host; ``order`` is one of ``ORDERS``."""
        assert order in ORDERS
        self._catalogue = catalogue
        self._hubs = hubs
        self._order = order
        self._faster = Faster() if order == AUTO else None

    def claims(self, name: ModelName) -> bool:
        """Whether the catalogue has the family of ``name``; resolve tells which tags there are."""
        return bool(self._catalogue.tags(name))

    def resolve(self, name: ModelName) -> list[RemoteFile]:
        """Return the files of the entry, with the other hub's copies as candidates.

        Raises:
            ModelNotFound: The catalogue has no such family.
            NotOnHub: The family has no such tag.
            InvalidRequest: The entry is damaged.
            SourceError: No hub could give the model; the error has the reason of each.
        """
        entry = self._catalogue.find(name)
        if entry is None:
            tags = self._catalogue.tags(name)
            if not tags:
                raise ModelNotFound(str(name))
            raise NotOnHub(
                f"the catalogue has no '{name.tag}' of {name.model}",
                hint=f"it has: {', '.join(tags)}; more with: corral search {name.model}",
            )
        asked = [(self._hubs[p.host.lower()], p) for p in self._places(entry)]
        files, others = first_of(str(entry.name), asked, self._faster)
        files = [_checked(entry, file) for file in files]
        return [_as_entry_says(entry, file, others) for file in files]

    def _places(self, entry: Entry) -> list[ModelName]:
        """Return the entry's places on hubs that we know, in the order of the setting."""
        known = [place for place in entry.places if place.host.lower() in self._hubs]
        if not known:
            raise NotOnHub(f"no hub that is known here has {entry.name}")
        wants_hf = self._order == HF

        def rank(place: ModelName) -> bool:
            return self._order != AUTO and (place.host.lower() == HUGGING_FACE) != wants_hf

        return sorted(known, key=rank)


def _checked(entry: Entry, file: RemoteFile) -> RemoteFile:
    """Return ``file`` with the digest that the entry knows."""
    if entry.sha256 is None or file.role is not Role.MODEL:
        return file
    if file.sha256 not in (None, entry.sha256):
        raise NotOnHub(
            f"{file.name} on the hub is not the file that {entry.name} names: its sha256 is"
            f" {file.sha256}, not {entry.sha256}",
            hint="its owner has replaced it; update Corral, or pull it by its full name",
        )
    return replace(file, sha256=entry.sha256)


def _as_entry_says(entry: Entry, file: RemoteFile, others: Iterable[RemoteFile]) -> RemoteFile:
    """Return ``file`` with the others' copies, the entry's licence and its recipe."""
    copies = [
        Candidate(other.location, other.headers, other.provenance)
        for other in others
        if file.sha256 is not None and other.sha256 == file.sha256
    ]
    by_location = {copy.location: copy for copy in (*copies, *file.candidates)}
    by_location.pop(file.location, None)
    return replace(
        file,
        candidates=tuple(by_location.values()),
        license=entry.license or file.license,
        recipe=_merged(entry.recipe, file.recipe),
        provenance={**file.provenance, "catalogue": str(entry.name)},
    )


def _merged(ours: Recipe, theirs: Recipe) -> Recipe:
    """Return the repository's recipe with the catalogue's laid over it."""
    return Recipe(
        parameters={**theirs.parameters, **ours.parameters},
        system=ours.system or theirs.system,
        template=ours.template or theirs.template,
        note=theirs.note,
    )
