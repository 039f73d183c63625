"""Text in and out of a model: pure functions.  Knows nothing of processes, HTTP or llama.cpp."""
