"""stream-serve inside of an application of one's own."""
