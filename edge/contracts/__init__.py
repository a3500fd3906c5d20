"""What goes into a model, by kind: how a device makes it without TensorFlow."""
