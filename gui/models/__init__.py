"""Qt item models: rows and roles, no widgets."""
