"""The other processes of a service: the contract and its backends."""
