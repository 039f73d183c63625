"""A hub's full names, with a stand-in: another hub that the catalogue names for the same model.

Anybody may register a name on the other hub, so only what the catalogue says counts, and only when
the hub that was asked for cannot answer; that it has no such model is an answer.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

from runner.domain.name import ModelName
from runner.errors import AccessDenied, CorralError, NotOnHub, Offline, SourceError
from runner.hub.catalogue import Catalogue
from runner.hub.nowhere import nowhere
from runner.hub.source import RemoteFile, Source

logger = logging.getLogger(__name__)

#: What a hub says itself; another one would not say it better.
_ANSWERS = (NotOnHub, AccessDenied, Offline)


class MirroredSource:
    """The source of one hub's names, with the catalogue's mirrors behind it."""

    def __init__(self, own: Source, catalogue: Catalogue, hubs: Mapping[str, Source]) -> None:
        """``hubs`` has the source for each host that may stand in."""
        self._own = own
        self._catalogue = catalogue
        self._hubs = hubs

    def claims(self, name: ModelName) -> bool:
        """Whether ``name`` is the hub's."""
        return self._own.claims(name)

    def resolve(self, name: ModelName) -> list[RemoteFile]:
        """Return the files of ``name``, from its own hub or from one that stands in.

        Raises:
            ModelNotFound: The name is not the hub's.
            SourceError: No place could give it; the error has the reason of each.
        """
        try:
            return self._own.resolve(name)
        except _ANSWERS:
            raise
        except SourceError as error:
            failures: list[tuple[ModelName, CorralError]] = [(name, error)]
        for place in self._catalogue.mirrors(name):
            source = self._hubs.get(place.host.lower())
            if source is None:
                continue
            try:
                files = source.resolve(place)
            except SourceError as error:
                failures.append((place, error))
                continue
            logger.info("another hub stands in name=%s place=%s", name, place)
            return [_told(files[0], name, place), *files[1:]]
        raise nowhere(str(name), failures)


def _told(file: RemoteFile, name: ModelName, place: ModelName) -> RemoteFile:
    """Return ``file`` with a note of where it comes from instead."""
    away = f"{name.host} does not answer, {place.host}/{place.namespace}/{place.model} stands in"
    note = "; ".join(filter(None, (file.recipe.note, away)))
    return replace(file, recipe=replace(file.recipe, note=note))
