"""What all tests share: a quiet TensorFlow."""

import os

# Read when TensorFlow is first imported; 2 keeps its errors.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
