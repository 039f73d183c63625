"""How long to wait before the next try, and how many there are; pure."""

from __future__ import annotations

import email.utils
from dataclasses import dataclass
from datetime import UTC


@dataclass(frozen=True, slots=True)
class Patience:
    """What a download puts up with.

    Attributes:
        n_tries: Failures in a row, without a byte between them, after which a worker gives up.
        first_s: Seconds before the second try; doubled each time.
        most_s: Longest such wait.
        stall_s: Seconds without a byte after which a connection counts as dead.
        longest_retry_after_s: A server that asks for more than this is given up.
        least_bps: Bytes a second below which a connection is left for another place, if there is
            one and nobody limits the speed; no line of today is that slow.
        slow_s: Seconds for which it has to be that slow.
        rest_s: Seconds for which that place is then left alone.
    """

    n_tries: int = 8
    first_s: float = 0.5
    most_s: float = 30.0
    stall_s: float = 30.0
    longest_retry_after_s: float = 600.0
    least_bps: float = 4096.0
    slow_s: float = 15.0
    rest_s: float = 120.0

    def wait_s(self, n_failures: int, luck: float) -> float:
        """Return the seconds to wait after ``n_failures`` in a row.

        Args:
            n_failures: At least 1.
            luck: From 0 to 1; spreads those who failed together over the second half of the wait.
        """
        longest = min(self.most_s, self.first_s * 2.0 ** min(n_failures - 1, 60))
        return longest * (0.5 + 0.5 * luck)


def retry_after_s(text: str | None, now: float) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks for; ``None`` when it says nothing.

    Args:
        text: Seconds, or a date as HTTP writes it (RFC 9110, section 10.2.3).
        now: Seconds since the epoch.
    """
    if not text:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        date = email.utils.parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # the latter of a time zone beyond all
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, date.timestamp() - now)
