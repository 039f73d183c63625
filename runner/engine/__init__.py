"""The worker process: continuous batching of sequences over one loaded model.

Must not know HTTP, JSON, asyncio, the store or settings.  All policy is pure; only ``llama/``
touches llama.cpp.
"""
