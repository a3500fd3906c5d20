"""The rules of the gates: data, drift, bounds, edge limits. Records in, a verdict out. No TFX."""
