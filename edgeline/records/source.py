"""The git commit that a run was started from."""

import os

from msgspec import Struct

from edgeline.errors import UsageError
from edgeline.records.json_file import UNREADABLE, decode, encode

# Holds the source of a container image, as JSON: an image has no repository.
VARIABLE = "EDGELINE_SOURCE"


class Source(Struct, frozen=True, omit_defaults=True):
    """The commit of a git repository, and whether the files there were others than in it."""

    commit: str = ""  # its hash; empty where none is known
    branch: str = ""  # empty where no branch was checked out
    is_dirty: bool = False
    difference: str = ""  # SHA-256 of the difference from the commit; empty if there is none
    unknown: str = ""  # why no commit is known, a sentence

    @classmethod
    def parse(cls, text: str) -> "Source":
        """Reads what `to_json` returned; an empty text stands for the source of this container image."""
        text = text or os.environ.get(VARIABLE, "")
        if not text:
            return cls(unknown=f"The image has no {VARIABLE}.")
        try:
            source: Source = decode(text.encode(), cls)
            return source
        except UNREADABLE as error:  # it is only said: no step depends on it
            return cls(unknown=f"{VARIABLE} cannot be read: {error}.")

    def to_json(self) -> str:
        """Returns it as a text for the parameter of a step."""
        return encode(self).decode()

    @property
    def short(self) -> str:
        """The first digits of the commit, with a mark if the files were others."""
        return f"{self.commit[:12]}{' with changes ' + self.difference[:12] if self.is_dirty else ''}"

    @property
    def sentence(self) -> str:
        """The commit, its branch and its difference in words."""
        if not self.commit:
            return f"The commit is not known: {self.unknown or 'it was not recorded.'}"
        branch = f" of {self.branch}" if self.branch else ""
        if not self.is_dirty:
            return f"Commit {self.commit}{branch}."
        return (
            f"Commit {self.commit}{branch}, with changes (SHA-256 {self.difference}) that nobody committed."
        )

    def check_clean(self) -> None:
        """Refuses, for `push.require_clean`, a source that is not a commit as it is. Raises UsageError."""
        if not self.commit or self.is_dirty:
            raise UsageError(
                f"push.require_clean is set. {self.sentence}",
                "A release of this run could not be made again from a commit.",
                "Commit the changes, or run with --set push.require_clean=false.",
            )
