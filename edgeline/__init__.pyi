from edgeline.reading import open as open
from runners.local.dag import pipeline as pipeline

__version__: str
