"""One frozen type for each file that one step writes and another reads, with its read and write."""
