"""Streams in Redis: the store, its keys and Lua, and what Redis's configuration says of them."""
