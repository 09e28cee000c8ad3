"""Conversations: what is kept of them, and what of them a provider is told."""
