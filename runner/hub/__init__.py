"""Where models come from: hubs, and the package that carries the starter model.

Knows nothing of the store, the HTTP server or processes.
"""
