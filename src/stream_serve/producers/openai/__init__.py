"""Any server that speaks OpenAI's chat completions, as a producer of runs."""
