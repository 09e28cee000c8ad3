"""Durable Streams 1.0 over HTTP: requests from headers, reading in each mode, and responses."""
