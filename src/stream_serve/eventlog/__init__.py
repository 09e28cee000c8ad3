"""The event log: the contract, and the backends that keep the events of the runs."""
