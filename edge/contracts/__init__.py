"""How a device makes what a model reads: the executable forms of preprocessing.json, without TensorFlow."""
