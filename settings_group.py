"""What every group of settings has in common; each room defines the groups that it uses."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Group(BaseModel):
    """No unknown key, no silent conversion, no change afterwards."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


def absolute(path: Path) -> Path:
    """A path as it is from where the command was typed: a worker may stand elsewhere.

    Raises:
        ValueError: It begins with the home of somebody who is not known.
    """
    try:
        return path.expanduser().absolute()
    except RuntimeError as error:
        raise ValueError(f"{path} cannot be found: {error}") from None
