"""The only place that imports llama_cpp: its low-level C API, wrapped one noun a file.

Everything here is called from the loop thread, tokenizing excepted.
"""
