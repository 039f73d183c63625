"""The library on disk: blobs by digest, manifests by name.

Knows nothing of the network, HTTP, processes or llama.cpp.
"""
