"""The OpenAI API: one file an endpoint."""
