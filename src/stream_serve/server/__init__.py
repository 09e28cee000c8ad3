"""The process that serves: its lifetime, its workers, its protocol."""
