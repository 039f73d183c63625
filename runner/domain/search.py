"""What a search of the hubs finds."""

from __future__ import annotations

from dataclasses import dataclass

from runner.domain.model import Capability


@dataclass(frozen=True, slots=True)
class FoundQuant:
    """One quantization of a model that was found.

    Attributes:
        label: What to put behind the colon: ``Q4_K_M``.
        n_bytes: Size of its files; 0 when the hub did not say.
        fits: Whether it should run in this machine's memory; ``None`` when that is not known.
        n_memory: Bytes that it needs when it runs, by its header; 0 when only its size was
            looked at, and ``fits`` is a rough guess.
    """

    label: str
    n_bytes: int = 0
    fits: bool | None = None
    n_memory: int = 0


@dataclass(frozen=True, slots=True)
class Opened:
    """What is known of a repository that was opened, and of the model that its name means.

    Attributes:
        chosen: Label of the quantization that is meant; empty when there are several models.
        reason: Why that one.
        architecture: As its file names it; empty, as all below, when its header was not read.
        n_params: Its parameters.
        n_ctx_train: Longest context it was trained for, in tokens.
        n_ctx: The context that ``n_memory`` counts, in tokens.
        problem: Why its header was not read, for people.
    """

    chosen: str = ""
    reason: str = ""
    architecture: str = ""
    n_params: int = 0
    n_ctx_train: int = 0
    n_ctx: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class FoundModel:
    """One repository with GGUF files.

    Attributes:
        name: What to pull: ``hf.co/owner/repo``.
        hub: Which hub has it: ``hf.co``.
        n_likes: How many people like it.
        n_downloads: How often it was fetched, by the hub's own way of counting.
        license: SPDX identifier or name; empty when the hub does not say.
        is_gated: Whether its owner wants a licence accepted first.
        quants: What there is of it, smallest first; empty when that was not told in time.
        opened: More of it, when it was asked for by its name.
        languages: What it speaks by its owner's words, ISO 639-1; empty when nothing is said.
        abilities: What it can do beside completing, as far as the hub tells.
    """

    name: str
    hub: str
    n_likes: int
    n_downloads: int
    license: str
    is_gated: bool
    quants: tuple[FoundQuant, ...] = ()
    opened: Opened | None = None
    languages: tuple[str, ...] = ()
    abilities: tuple[Capability, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What a repository's owner wrote about it, in Markdown.

    Attributes:
        name: ``hf.co/owner/repo``, as the hub spells it now.
        text: Without the facts that a card begins with; empty when there is no card.
        is_cut: Whether there is more than ``text`` has.
    """

    name: str
    text: str
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class HubFailure:
    """A hub that could not be searched, and why, in the words of its error."""

    hub: str
    code: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What the hubs found, and which of them could not be asked."""

    models: tuple[FoundModel, ...]
    failures: tuple[HubFailure, ...] = ()
