"""Long jobs on model files, run beside the daemon in a process of their own.

Knows nothing of HTTP, the store or the engine's loop.
"""
