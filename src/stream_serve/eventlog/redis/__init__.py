"""The event log that several processes share, in Redis."""
