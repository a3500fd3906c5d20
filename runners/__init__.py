"""Running the DAG, and everything that a person types. Only the worker imports TensorFlow and TFX."""
