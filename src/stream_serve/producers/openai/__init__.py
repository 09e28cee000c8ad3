"""A producer for every server with OpenAI's chat completions API."""
