"""Weekly spans of labelled examples: their layout, the window, exclusions, the split."""
