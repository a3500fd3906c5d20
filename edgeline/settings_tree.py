"""The tree of settings that layers are merged into."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# A layer that sets the number of epochs means it: limits of steps from below would make it another one.
_REPLACED = {"trainer.epochs": ("trainer.min_steps", "trainer.max_steps", "trainer.max_steps_a_group")}


@dataclass
class Tree:
    """Merged layers, and the layer that each dotted key came from."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)

    def merge(self, layer: Mapping[Any, Any], origin: str) -> None:
        """Merges `layer` on top: mappings key by key, everything else replaces the value below.

        `trainer.epochs` also removes the limits of steps that another layer has set.
        """
        self.values = self._merge(self.values, layer, origin, "")

    def _merge(self, below: object, above: Mapping[Any, Any], origin: str, prefix: str) -> dict[str, Any]:
        # A range replaces another one, whose step would not fit it.
        is_range = {"min", "max"} <= above.keys()
        merged = dict(below) if isinstance(below, Mapping) and not is_range else {}
        for key, value in above.items():
            dotted = f"{prefix}{key}"
            self.origins[dotted] = origin
            for other in _REPLACED.get(dotted, ()):
                if self.origins.get(other) != origin:
                    merged.pop(other.removeprefix(prefix), None)
            # An empty mapping removes what is below it; an empty group, such as `trainer`, sets nothing.
            if isinstance(value, Mapping) and (value or (not prefix and key != "steps")):
                merged[str(key)] = self._merge(merged.get(str(key)), value, origin, f"{dotted}.")
            else:
                merged[str(key)] = value
        return merged

    def origin(self, dotted: str) -> str:
        """Returns the layer that last wrote `dotted`, or the nearest group above it."""
        while dotted not in self.origins and "." in dotted:
            dotted = dotted.rpartition(".")[0]
        return self.origins.get(dotted, "the defaults")
