"""Runs: from their start to some minutes after their end."""
