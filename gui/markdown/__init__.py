"""Markdown as it streams in: cut into pieces, drawn into a document; no chats, no daemon."""
