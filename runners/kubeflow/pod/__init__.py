"""The program in the container of each step on a cluster."""
