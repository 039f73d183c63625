"""The models in memory as a table."""

from __future__ import annotations

import time

from gui import figures
from gui.models.table import Column, Table
from runner.domain.model import RunningModel


def running_table() -> Table[RunningModel]:
    """Return an empty table of models in memory."""
    return Table[RunningModel](
        (
            Column("Model", lambda m: str(m.info.name)),
            Column("Memory", lambda m: figures.size(m.n_resident), lambda m: m.n_resident, True),
            Column("Context", lambda m: figures.grouped(m.n_ctx), lambda m: m.n_ctx, True),
            Column("Requests", lambda m: str(m.n_active), lambda m: m.n_active, True),
            Column("Tokens", lambda m: figures.grouped(m.n_tokens), lambda m: m.n_tokens, True),
            Column(
                "Stays", lambda m: figures.until(m.expires_at, time.time()), lambda m: m.expires_at
            ),
            Column("Process", lambda m: str(m.pid), lambda m: m.pid, True),
        ),
        key=lambda model: model.info.name.key,
    )
