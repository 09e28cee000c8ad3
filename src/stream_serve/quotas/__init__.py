"""Who may have how many runs at once."""
