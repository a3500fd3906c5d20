"""Tables of rows: what a CSV file must be, and the examples that its rows become."""
