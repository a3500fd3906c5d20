"""The one DAG, and the settings and workloads that shape it."""
