"""What was measured of a model, as bars and words.  Pure."""

from __future__ import annotations

from collections.abc import Sequence

from gui.widgets.bars import Bar
from gui.words import tr
from runner.domain.quality import BenchReport, BenchRow, QualityReport

#: Measurements shown, the latest ones.
_N_SHOWN = 8


def speed_text(reports: Sequence[BenchReport]) -> str:
    """Return when and how the latest speed was measured; reports are the latest first."""
    if not reports:
        return tr("Not measured yet.")
    latest = reports[0]
    return tr(
        "Tokens of answer a second, {when}; {n} threads, loaded in {time} s",
        when=moment(latest.time),
        n=latest.n_threads,
        time=f"{latest.load_s:.1f}",
    )


def speed_bars(reports: Sequence[BenchReport]) -> list[Bar]:
    """Return a bar for each point of the latest report."""
    rows = reports[0].rows if reports else ()
    return [Bar(_point(row), row.generate_tps, f"{row.generate_tps:.1f}") for row in rows]


def history_bars(reports: Sequence[BenchReport]) -> list[Bar]:
    """Return a bar for the first point of each report, the oldest first; none for one alone."""
    measured = [one for one in reports[:_N_SHOWN] if one.rows]
    if len(measured) < 2:
        return []
    return [
        Bar(moment(one.time), one.rows[0].generate_tps, f"{one.rows[0].generate_tps:.1f}", "muted")
        for one in reversed(measured)
    ]


def quality_text(reports: Sequence[QualityReport]) -> str:
    """Return what the latest report says, in a line or two."""
    if not reports:
        return tr("Not measured yet.")
    latest = reports[0]
    parts = [
        tr(
            "Perplexity {n} over {m} tokens; lower is better",
            n=f"{latest.perplexity:.2f}",
            m=f"{latest.n_scored:,}",
        )
    ]
    if latest.source and latest.kld_mean is not None:
        far = f"{latest.kld_mean:.4f}"
        parts.append(tr("divergence from {name}: {n}", name=latest.source, n=far))
    if latest.top_1 is not None:
        parts.append(tr("same first choice in {share}", share=f"{latest.top_1:.1%}"))
    return "  ·  ".join(parts)


def quality_bars(reports: Sequence[QualityReport]) -> list[Bar]:
    """Return a bar for each report's perplexity and one for its source's, the oldest first."""
    bars = [
        Bar(
            f"{one.quantization}, {moment(one.time)}",
            one.perplexity,
            f"{one.perplexity:.2f} ± {one.perplexity_error:.2f}",
        )
        for one in reversed(reports[:_N_SHOWN])
    ]
    if reports and (whole := reports[0].source_perplexity) is not None:
        bars.append(Bar(reports[0].source, whole, f"{whole:.2f}", "muted"))
    return bars


def moment(time: str) -> str:
    """Return a time in RFC 3339 as its day and minute."""
    return time[:16].replace("T", " ")


def _point(row: BenchRow) -> str:
    return tr("{n} at once, after {m} tokens", n=row.concurrency, m=f"{row.depth:,}")
