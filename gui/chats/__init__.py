"""Conversations kept on disk: what was said, in which branch; no widgets."""
