"""The model providers: one contract, and those who fulfil it."""
