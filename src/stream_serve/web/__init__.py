"""HTTP: parse, call `runs`, encode. Nothing here knows a provider or a backend."""
