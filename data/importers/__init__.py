"""Anyone's labelled photos, as one new span with the workload that trains on them."""
