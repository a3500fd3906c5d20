"""Settings of the release store and of releases: their terms for phones, and their signature."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from edgeline.release.pointer import DAYS, MAX_PERCENT, MIN_PERCENT
from edgeline.release.signing import KEY_VARIABLE, Keys, load_signing_key
from edgeline.secrets import is_key
from edgeline.settings_group import Group, make_absolute
from edgeline.store.locations import is_url, locate_folder, name_place


def _check_app_version(version: object) -> object:
    if not isinstance(version, str) or not re.fullmatch(r"\d+\.\d+\.\d+", version, re.ASCII):
        raise ValueError(f"{version!r:.100} is not a version of three numbers, such as 2.4.0")
    return version


def _resolve_key(path: str) -> str:
    if is_key(path):
        raise ValueError(
            "the value is the key itself, which every run would record; set it to the key's file, or put the"
            f" key into the environment variable {KEY_VARIABLE}"
        )
    return str(make_absolute(Path(path)))


def _resolve_place(place: str) -> str:
    if is_url(place):
        return name_place(place)
    return str(make_absolute(locate_folder(place)))


Text = Annotated[str, Field(min_length=1, max_length=10_000)]
File = Field(json_schema_extra={"format": "path"})


class PushSettings(Group):
    """The place of the release store, and the settings of its releases."""

    destination: Annotated[str, AfterValidator(_resolve_place), File] | None = None
    """Root of the release store: a folder, or a URL such as s3://BUCKET/PREFIX; null for `push/` in the
    workspace."""
    expires_days: int = Field(90, ge=1, le=3650)
    """Days after the push from which a phone should no longer trust the release."""
    pointer_days: int = Field(DAYS, ge=1, le=3650)
    """Days after which a phone should no longer believe that the release in production is the newest one,
    unless a run, a push or `edgeline renew` signed the pointer again."""
    canary_percent: float | None = Field(None, ge=MIN_PERCENT, le=MAX_PERCENT)
    """Share of phones, in per cent, that run a new release first. The next run puts it in production if its
    answers keep the bounds of `evaluation.served` that block, withdraws it if they break one, and pushes
    nothing while too few came back. Null for all phones at once."""
    min_app_version: Annotated[str, BeforeValidator(_check_app_version)] | None = None
    """Oldest version of the app that can use the bundle, three numbers such as 2.4.0; null for any."""
    rollback_epoch: int = Field(0, ge=0, le=2**31 - 1)
    """A number that only rises: a phone refuses a release with a lower one than the highest that it has seen.
    Raise it with a release that no earlier one may replace again."""
    licence: Text | None = None
    """Terms of use of the model: an SPDX identifier or a text."""
    data_statement: Text | None = None
    """The data that the model was trained on, and what that allows."""
    require_clean: bool = False
    """Whether a run is refused, before anything is read, unless the files of its git repository are as in the
    last commit, so that a release can be made again from it."""
    trusted_keys: tuple[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")], ...] = Field((), strict=False)
    """Public keys, 64 hexadecimal digits each, whose releases this key goes on from, beside its own: the key
    before, during a change of keys."""
    key: Annotated[str, AfterValidator(_resolve_key), File] | None = None
    """File of the private key that signs releases. With null the key itself is read from the environment
    variable EDGELINE_SIGNING_KEY; without that, nothing is signed."""

    def load_keys(self) -> Keys:
        """Loads the keys that sign and continue releases. Raises UsageError if they cannot be read."""
        return {"key": load_signing_key(self.key), "trusted": self.trusted_keys}

    def root(self, workspace: Path) -> str:
        """Returns the root of the release store of a workspace."""
        return self.destination or str(workspace / "push")
