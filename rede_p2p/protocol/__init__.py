"""What is said: the messages and their encoding. No I/O."""
