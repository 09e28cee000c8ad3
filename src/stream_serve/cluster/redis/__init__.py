"""What the Redis backends share: the connections, the keys, the lease and the one blocking reader."""
