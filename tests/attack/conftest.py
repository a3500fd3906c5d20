"""The browser and the hook of other rooms, for attacks on pages and alerts."""

from tests.edgeline.conftest import browser

__all__ = ["browser"]
