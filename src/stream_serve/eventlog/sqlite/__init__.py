"""The event log of a single process that survives the process, in a file."""
