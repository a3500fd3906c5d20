"""What TFX loads by dotted path: `run.run_fn` for the Trainer, one module a workload for Transform."""
