"""Settings of a release: its terms for phones, and its signature."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from release.signing import KEY_VARIABLE
from settings_group import Group, absolute


def _check_app_version(version: object) -> object:
    if not isinstance(version, str) or not re.fullmatch(r"\d+\.\d+\.\d+", version, re.ASCII):
        raise ValueError(f"{version!r:.100} is not a version of three numbers, such as 2.4.0")
    return version


def _resolve_key(path: str) -> str:
    if "-----BEGIN" in path:
        raise ValueError(
            "the value is the key itself, which every run would record; set it to the key's file, or put the"
            f" key into the environment variable {KEY_VARIABLE}"
        )
    return str(absolute(Path(path)))


Text = Annotated[str, Field(min_length=1, max_length=10_000)]


class ReleaseSettings(Group):
    """Settings of a release: its terms for phones, and its signature; the manifest has only those set."""

    # Days after the push from which a phone should no longer trust the release.
    expires_days: int = Field(90, ge=1, le=3650)
    # The oldest version of the app, three numbers, that can use the bundle.
    min_app_version: Annotated[str, BeforeValidator(_check_app_version)] | None = None
    # Only rises: a phone refuses a release with a lower one than the highest that it has seen. Raise it with
    # a release that none before it may replace again.
    rollback_epoch: int = Field(0, ge=0, le=2**31 - 1)
    licence: Text | None = None  # what the model may be used for: an SPDX identifier or a text
    data_statement: Text | None = None  # what it was trained on, and what that allows
    # The file of the private key that releases are signed with; None takes the key itself from the
    # environment variable EDGELINE_SIGNING_KEY, and where there is none, nothing is signed.
    key: Annotated[str, AfterValidator(_resolve_key), Field(json_schema_extra={"format": "path"})] | None = (
        None
    )
