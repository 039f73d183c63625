"""What a source says of a model beside its files, made into what the library keeps.  Pure."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from runner.domain.options import OPTION_SPECS, Options, parse_options
from runner.errors import InvalidRequest, TemplateFailed
from runner.hub.source import RemoteFile
from runner.prompt.compiled import check

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Extras:
    """For the manifest: options, system message, licence, and a chat template or ``None``.

    ``left_out`` says in words what is not among them, and why.
    """

    parameters: Options
    system: str
    license: str
    template: str | None
    left_out: tuple[str, ...] = ()


def extras_of(file: RemoteFile) -> Extras:
    """Return what belongs into the manifest of the model whose first file is ``file``.

    A parameter that has no good value, or a template that is not valid, is left out: its author is
    a stranger, and the model is good without it.
    """
    options = Options()
    left_out: list[str] = []
    for name, value in file.recipe.parameters.items():
        if name not in OPTION_SPECS:
            logger.info("parameter left out file=%s name=%.40s", file.name, name)
            continue
        try:
            options = parse_options({name: value}).over(options)
        except InvalidRequest as error:
            left_out.append(f"the model's own parameter is left out: {error.message}")
    template = file.recipe.template or None
    if template:
        try:
            check(template)
        except TemplateFailed as error:
            template = None
            left_out.append(f"the template beside the model is left out: {error.message}")
    return Extras(options, file.recipe.system, file.license, template, tuple(left_out))
