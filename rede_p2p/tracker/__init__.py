"""Who is here, and who has what."""
