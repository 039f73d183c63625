"""Model folders as they are published, to GGUF: one file an architecture.

Reads safetensors with numpy alone and writes through the ``gguf`` package.
"""
