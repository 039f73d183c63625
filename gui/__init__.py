"""The desktop app: a tray icon and a window over the daemon's API.

It speaks to the daemon by ``runner.client`` alone, on threads of its own (``link.py``), and knows
neither HTTP nor the engine.  Nothing that can wait runs on the thread that draws.
"""
