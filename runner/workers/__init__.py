"""The parent's side of workers: processes, pipes, and which models are resident.

Must not know HTTP, dialects, llama_cpp, or where models come from.
"""
