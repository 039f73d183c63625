"""What a model would become in smaller types, as the daemon plans it: rows of a table.  Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gui import figures
from gui.models.table import Column, Table
from gui.widgets.bars import Bar
from gui.words import tr
from runner.domain.name import ModelName
from runner.domain.quality import QualityReport
from runner.errors import InvalidName

#: Offered types from the largest to the smallest, and what each is good for; English.
OFFERED: dict[str, str] = {
    "Q8_0": "As good as the original to most eyes.",
    "Q6_K": "Hardly worse than the original.",
    "Q5_K_M": "Very good.",
    "Q4_K_M": "Good, and small: the usual choice.",
    "Q4_0": "Older and simpler, quick on processors.",
    "IQ4_XS": "Smaller than Q4_K_M and nearly as good.",
    "Q3_K_M": "Noticeably worse.",
    "Q2_K": "Much worse; for when nothing else fits.",
}
RECOMMENDED = "Q4_K_M"


@dataclass(frozen=True, slots=True)
class Target:
    """What one type would make; sizes in bytes.

    Attributes:
        kind: The type.
        name: What the model will be called.
        n_bytes: Size of its file.
        n_memory: What it takes in memory.
        bits: Bits of a weight on average.
        is_there: Whether a model of that name would be replaced.
        fits: Whether this machine has the memory; ``None``: not known.
    """

    kind: str
    name: str
    n_bytes: int
    n_memory: int
    bits: float
    is_there: bool = False
    fits: bool | None = None
    measured: QualityReport | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What the daemon says before anything is done.

    Attributes:
        model: Made from.
        quantization: What that is now.
        n_bytes: Its size.
        n_free: Free on the disk.
        targets: One for each type asked about.
        problem: Why it would fail; empty when it would not.
        hint: What to do about that.
    """

    model: str
    quantization: str
    n_bytes: int
    n_free: int
    targets: tuple[Target, ...]
    problem: str = ""
    hint: str = ""


def plan_of(value: Mapping[str, Any], n_memory: int = 0) -> Plan:
    """Return the plan in the daemon's answer.

    Args:
        value: What ``POST /api/quantize`` with ``dry_run`` answers.
        n_memory: Bytes of memory of the machine; 0: not known.

    Raises:
        KeyError, TypeError, ValueError: It is no such answer.
    """
    return Plan(
        model=str(value["model"]),
        quantization=str(value.get("quantization") or ""),
        n_bytes=int(value.get("size") or 0),
        n_free=int(value.get("free") or 0),
        targets=tuple(_target(one, n_memory) for one in value.get("targets") or ()),
        problem=str(value.get("problem") or ""),
        hint=str(value.get("hint") or ""),
    )


def joined(plan: Plan | None, more: Plan) -> Plan:
    """Return one plan of two for the same model; the first problem counts."""
    if plan is None:
        return more
    problem, hint = (plan.problem, plan.hint) if plan.problem else (more.problem, more.hint)
    return replace(more, targets=plan.targets + more.targets, problem=problem, hint=hint)


def target_table() -> Table[Target]:
    """Return an empty table of types."""
    columns: tuple[Column[Target], ...] = (
        Column("Type", lambda t: t.kind, lambda t: t.n_bytes),
        Column("Size", lambda t: figures.size(t.n_bytes), lambda t: t.n_bytes, is_number=True),
        Column("In memory", _memory, lambda t: t.n_memory, is_number=True),
        Column("Bits a weight", lambda t: f"{t.bits:.2f}", lambda t: t.bits, is_number=True),
        Column("Quality", quality_text, lambda t: t.bits, tip=quality_text),
    )
    return Table[Target](columns, key=lambda target: target.kind)


def measured(plan: Plan, kind: str, reports: Sequence[QualityReport]) -> Plan:
    """Return the plan with what was measured of one type against this very model.

    Args:
        plan: The plan.
        kind: The type.
        reports: All of the model that has this type now, the latest first.
    """
    found = next((one for one in reports if _is_of(one, plan.model)), None)
    targets = [replace(one, measured=found) if one.kind == kind else one for one in plan.targets]
    return replace(plan, targets=tuple(targets))


def quality_text(target: Target) -> str:
    """Return what was measured of a type, or what it is known for."""
    report = target.measured
    if report is None:
        return tr(OFFERED.get(target.kind, ""))
    return tr("Measured: {what}", what=_told(report))


def quality_bars(plan: Plan) -> list[Bar]:
    """Return a bar for each type that was measured: how often its first choice is the source's."""
    return [
        Bar(one.kind, one.measured.top_1, _told(one.measured), "good")
        for one in sorted(plan.targets, key=lambda one: -one.n_bytes)
        if one.measured is not None and one.measured.top_1 is not None
    ]


def _told(report: QualityReport) -> str:
    parts = [tr("same first choice in {share}", share=f"{report.top_1 or 0:.1%}")]
    if report.kld_mean is not None:
        parts.append(tr("divergence {n}", n=f"{report.kld_mean:.4f}"))
    return "  ·  ".join(parts)


def _is_of(report: QualityReport, model: str) -> bool:
    """Whether a report compares with this model."""
    try:
        same = ModelName.parse(report.source) == ModelName.parse(model)
    except InvalidName:  # it was measured alone
        return False
    return same and report.top_1 is not None


def _memory(target: Target) -> str:
    if not target.n_memory:
        return ""
    text = figures.size(target.n_memory)
    return text if target.fits is not False else f"{text} ⚠"


def _target(one: Mapping[str, Any], n_memory: int) -> Target:
    needed = int(one.get("memory") or 0)
    return Target(
        kind=str(one["type"]),
        name=str(one["name"]),
        n_bytes=int(one["size"]),
        n_memory=needed,
        bits=float(one.get("bits_per_weight") or 0.0),
        is_there=bool(one.get("exists")),
        fits=None if not needed or not n_memory else needed <= n_memory,
    )
