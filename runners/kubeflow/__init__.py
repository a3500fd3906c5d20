"""The DAG on Kubeflow Pipelines: compiled, started, followed, scheduled."""
