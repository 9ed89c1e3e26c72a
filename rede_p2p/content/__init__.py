"""What a file is: its identity, its name, its bytes on a disk. No socket."""
