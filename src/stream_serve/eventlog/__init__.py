"""The event log: one contract, and the places where a run's events are kept."""
