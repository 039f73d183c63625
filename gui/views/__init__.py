"""Pages and windows: widgets laid out, signals connected."""
