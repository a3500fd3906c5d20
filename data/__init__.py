"""Photos on their way in: spans on disk, checks, importers, and the sample that is rendered."""
