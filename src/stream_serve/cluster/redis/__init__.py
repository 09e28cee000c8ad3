"""Redis for all rooms: the connections, the lease, the one blocking reader, and the peers over them."""
