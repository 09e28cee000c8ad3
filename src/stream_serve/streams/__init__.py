"""Streams of anything: durable, named sequences of bytes that producers append to and readers follow."""
