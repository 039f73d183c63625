"""How many requests a key may make in a minute: a bucket that fills evenly; pure."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Rates:
    """One bucket for each key, as large as a minute's requests and full at first."""

    _buckets: dict[str, tuple[float, float]] = field(default_factory=dict)  # level, at which moment

    def take(self, key_id: str, n_per_minute: int, now_s: float) -> float:
        """Take one request from a bucket.

        Args:
            key_id: Whose.
            n_per_minute: Its size, which flows in again within a minute.
            now_s: Any clock that does not go back, in seconds.

        Returns:
            0 when there was one, else the seconds until there is; then none is taken.
        """
        per_s = n_per_minute / 60
        level, at_s = self._buckets.get(key_id, (float(n_per_minute), now_s))
        level = min(float(n_per_minute), level + max(0.0, now_s - at_s) * per_s)
        if level < 1 - 1e-9:  # what flowed in for exactly one may have lost its last digit
            self._buckets[key_id] = (level, now_s)
            return (1 - level) / per_s
        self._buckets[key_id] = (level - 1, now_s)
        return 0.0

    def forget(self, key_id: str) -> None:
        """Drop a bucket."""
        self._buckets.pop(key_id, None)
