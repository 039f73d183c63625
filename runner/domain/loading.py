"""A model that is on its way into memory."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from runner.domain.model import ModelInfo


class LoadStage(StrEnum):
    """What a load is at, in this order; stages that a model does not need are left out."""

    MAPPING = "mapping"  # opens the file, reads its header and vocabulary
    UPLOAD = "upload"  # brings the weights to where they are computed with
    CONTEXT = "context"  # makes room for conversations
    PROJECTOR = "projector"  # the model's eyes or ears
    DRAFT = "draft"  # the small model that guesses
    WARM_UP = "warm-up"  # computes a token, which reads what is only mapped


@dataclass(frozen=True, slots=True)
class LoadMoment:
    """How far a load is: ``stage``, and the share of it that is done, from 0 to 1."""

    info: ModelInfo
    stage: LoadStage
    share: float
