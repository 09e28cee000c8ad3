"""The conversations: one contract, and the databases that keep them."""
