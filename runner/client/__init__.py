"""The daemon's API for programs of ours: CLI and desktop app.

Standard library only, blocking, and knows nothing of server, daemon or engine.
"""
