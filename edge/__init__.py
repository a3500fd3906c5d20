"""What a phone does, and what is required of the file it is given."""
