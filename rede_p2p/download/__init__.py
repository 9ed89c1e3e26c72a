"""What this peer gets from others."""
