"""Prompts kept on disk: how an entry is keyed, written, read, listed and cleared.

Worker and daemon both look into that folder; knows no model, no engine, no HTTP.
"""
