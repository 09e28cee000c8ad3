"""The dialects: how each API asks, and how it tells of a run."""
