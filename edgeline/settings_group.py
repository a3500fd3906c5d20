"""The base class of all groups of settings, which contain no secrets: runs record them."""

import re
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from edgeline.secrets import find_secret


class Group(BaseModel):
    """A group of settings: refuses unknown keys, converts nothing silently, and cannot be changed.

    The docstring below a field is its description, which `edgeline settings` prints.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_secret(cls, value: Any, info: ValidationInfo) -> Any:
        kind = cls.model_fields[str(info.field_name)].annotation
        is_group = isinstance(kind, type) and issubclass(kind, Group)  # it checks its own settings
        if is_group:
            return value
        for secret in filter(None, map(find_secret, _list_texts(value))):
            # The message does not show the value.
            raise ValueError(
                f"the value has {secret}, which every run would record. Put it where its own tools look for"
                " it: a file, or a variable such as AWS_SECRET_ACCESS_KEY, PGPASSWORD,"
                " MLFLOW_TRACKING_PASSWORD or KFP_TOKEN"
            )
        return value


def _list_texts(value: object) -> Iterator[str]:
    """Yields the texts in a value, at any depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _list_texts([*value.values()])
    elif isinstance(value, list | tuple):
        yield from chain.from_iterable(map(_list_texts, value))


def require_form(pattern: str, problem: str) -> AfterValidator:
    """Returns a check that a text matches a regular expression; `problem` follows the value in its error."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"{value!r} {problem}")
        return value

    return AfterValidator(check)


Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


def make_absolute(path: Path) -> Path:
    """Returns an absolute path, since a worker may run elsewhere. Raises ValueError for an unknown home."""
    try:
        return path.expanduser().absolute()
    except RuntimeError as error:
        raise ValueError(f"{path} cannot be found: {error}") from None
