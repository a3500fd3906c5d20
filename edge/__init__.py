"""What a phone does, and what is asked of the file it is given."""
