"""The base class of all groups of settings, and checks that settings contain no secrets: runs record them."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from edgeline.store.locations import names_user


class Group(BaseModel):
    """A group of settings: refuses unknown keys, converts nothing silently, and cannot be changed.

    The docstring below a field is its description, which `edgeline settings` prints.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


def make_absolute(path: Path) -> Path:
    """Returns an absolute path, since a worker may run elsewhere. Raises ValueError for an unknown home."""
    try:
        return path.expanduser().absolute()
    except RuntimeError as error:
        raise ValueError(f"{path} cannot be found: {error}") from None


_SECRET = re.compile(
    r"SECRETS?|TOKENS?|\w*PASS(WORDS?|WD|PHRASE)|PASS|PWD|CREDENTIALS?|(API)?KEYS?|COOKIES?|AUTH(ORIZATION)?"
)
# A name with one of these as its last word is the place of a secret, or public.
_PLACE = re.compile("FILE|PATH|DIR|SOCK|URL|URI|ENDPOINT|HOST|PORT")
_PUBLIC = {"KMS", "PUBLIC"}
_PATHS = ("GOOGLE_APPLICATION_CREDENTIALS",)
_PASSWORD = re.compile(r"://[^/\s@]*:.*@|[?&]\w*(password|token|secret)\w*=", re.IGNORECASE)


def names_secret(name: str) -> bool:
    """Returns True if the name of a variable or an option says that its value is a secret."""
    words = re.split(r"[^A-Z0-9]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).upper())
    if _PLACE.fullmatch(words[-1]) or name.upper() in _PATHS or _PUBLIC & {*words}:
        return False
    return any(map(_SECRET.fullmatch, words))


def refuse_user(url: str) -> str:
    """Returns a URL that contains no user. Raises ValueError, which does not show it, for one that does."""
    if names_user(url):
        raise ValueError("the value has a user or password before an @, which every run would record")
    return url


def refuse_password(url: str) -> str:
    """Returns a URL that contains no password; raises as `refuse_user` does. A user is allowed."""
    if _PASSWORD.search(url):
        raise ValueError(
            "the URL has a password, which every run would record. Put it into PGPASSWORD or ~/.pgpass, or"
            " for a server into MLFLOW_TRACKING_PASSWORD or MLFLOW_TRACKING_TOKEN"
        )
    return url
