"""The ways to start the DAG: here, on Kubeflow, on time, and the command `edgeline`."""

import os

# Read when gRPC is first imported. Without it gRPC starts threads in what is forked before that becomes
# another program, and one in 100 dies of them, Spark's Java among them (github.com/grpc/grpc/issues/43055).
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
