"""AI streaming chat over Server-Sent Events, with a stop that really stops."""

__version__ = "0.1.0"
