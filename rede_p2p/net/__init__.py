"""Who carries it: the only sockets."""
