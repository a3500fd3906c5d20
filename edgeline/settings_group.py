"""The base class of all groups of settings; each room defines the groups that it uses."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Group(BaseModel):
    """A group of settings: refuses unknown keys, converts nothing silently, and cannot be changed.

    The docstring below a field is its description, which `edgeline settings` prints.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


def make_absolute(path: Path) -> Path:
    """Returns a path relative to the current folder as an absolute one: a worker may run in another folder.

    Raises:
        ValueError: The path begins with the home of an unknown user.
    """
    try:
        return path.expanduser().absolute()
    except RuntimeError as error:
        raise ValueError(f"{path} cannot be found: {error}") from None
