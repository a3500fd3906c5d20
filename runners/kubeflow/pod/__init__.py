"""What runs in the container of each step on a cluster."""
