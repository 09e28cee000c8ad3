"""Honesty: what a client is told when the provider fails, by this service and by others."""
