"""What a source says of a model beside its files, made into what the library keeps.  Pure."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from runner.domain.options import OPTION_SPECS, Options, parse_options
from runner.errors import InvalidRequest
from runner.hub.source import RemoteFile

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Extras:
    """For the manifest: options, system message, licence, and a chat template or ``None``."""

    parameters: Options
    system: str
    license: str
    template: str | None


def extras_of(file: RemoteFile) -> Extras:
    """Return what belongs into the manifest of the model whose first file is ``file``.

    A parameter that has no good value is left out and logged: its author is a stranger, and the
    model is good without it.
    """
    options = Options()
    for name, value in file.recipe.parameters.items():
        if name not in OPTION_SPECS:
            logger.info("parameter left out file=%s name=%.40s", file.name, name)
            continue
        try:
            options = parse_options({name: value}).over(options)
        except InvalidRequest as error:
            logger.warning("parameter left out file=%s: %s", file.name, error.message)
    return Extras(options, file.recipe.system, file.license, file.recipe.template or None)
