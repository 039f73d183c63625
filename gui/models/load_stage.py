"""What a model that is on its way into memory is at, in words.  Pure but for the language."""

from __future__ import annotations

from gui.words import tr
from runner.client.decode_keeping import Load
from runner.domain.loading import LoadStage

#: English; shown through ``tr``.
STAGES = {
    LoadStage.MAPPING: "Opening the file",
    LoadStage.UPLOAD: "Reading the weights",
    LoadStage.CONTEXT: "Making room for conversations",
    LoadStage.PROJECTOR: "Loading what sees and hears",
    LoadStage.DRAFT: "Loading the model that guesses",
    LoadStage.WARM_UP: "Computing the first token",
}


def stage_text(load: Load | None) -> str:
    """Return how far a load is; ``None``: not known yet."""
    words = {stage.value: text for stage, text in STAGES.items()}.get(load.stage) if load else None
    if load is None or words is None:
        return tr("Loading the model…")
    share = f", {load.percent} %" if 0 < load.percent < 100 else ""
    return f"{tr('Loading the model')}: {tr(words)}{share}"
