"""Conversations: their storage, and the part of their history that goes to a provider."""
