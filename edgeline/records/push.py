"""The result of the Pusher."""

from dataclasses import dataclass
from typing import Literal

from edgeline.records.json_file import JsonFile


@dataclass(frozen=True)
class Push:
    """A push: `pushed`; `unchanged`, if this model was pushed before; or `held` by a gate, as version 0."""

    outcome: Literal["pushed", "unchanged", "held"]
    version: int = 0
    reasons: tuple[str, ...] = ()


PUSH = JsonFile[Push]("push.json", Push)
