"""The GGUF file format, read without llama.cpp: header, facts, sizes.

Knows nothing of the store, HTTP, processes or llama.cpp, and never reads weights.
"""
