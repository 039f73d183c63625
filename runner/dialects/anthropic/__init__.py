"""The Anthropic API: messages, and counting what they come to."""
