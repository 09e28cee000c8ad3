"""Files of our own: how one is opened."""
