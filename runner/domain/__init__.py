"""What the rooms say to each other: frozen dataclasses and enums.

Knows nothing of processes, HTTP, files or llama.cpp.
"""
