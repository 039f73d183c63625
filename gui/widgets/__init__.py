"""Building blocks that several pages use; no page, no daemon."""
