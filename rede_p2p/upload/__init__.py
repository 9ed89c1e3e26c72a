"""What this peer gives to others."""
