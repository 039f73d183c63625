"""Tool calls in what models write: one family a file, picked by the model's template."""
