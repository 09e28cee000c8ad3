"""What a run says: its events, their bytes, and what they add up to."""
