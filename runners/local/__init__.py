"""One run on one machine: the worker process, the lock, how it ended."""
