"""Lines on the answers of phones, for pages, the terminal and the Python API."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from edgeline.records.served import PushedVersion, Served, Tally
from edgeline.report.facts import Slice
from edgeline.report.words import percent

_MOST_DEVICES = 30  # the worst, which come first


@dataclass(frozen=True)
class ServedSlice:
    """The answers of one version on one slice, which may be all of them."""

    version: int
    tally: Tally
    drawn: Slice  # the checked ones among those drawn at random; `before` is the eval accuracy at the push

    @property
    def sentence(self) -> str:
        """Returns accuracy, expected accuracy and doubted answers in words."""
        tally, drawn = self.tally, self.drawn
        text = f"Version {self.version} answered {tally.answers:,} times"
        if drawn.accuracy is not None:
            on_eval = f", on eval {percent(drawn.before)}" if drawn.before is not None else ""
            text += (
                f": {percent(drawn.accuracy)} of {drawn.examples:,} drawn at random were right (95 % CI"
                f" {percent(drawn.low)} to {percent(drawn.high)}{on_eval})"
            )
        text += f"; {percent(tally.expected)} to expect by their scores"
        if tally.doubted:
            text += f"; {tally.doubted_right:,} of {tally.doubted:,} that looked wrong were right"
        return f"{text}.".replace("\u00a0", " ")


def list_slices(served: Served | None, pushed: Mapping[int, PushedVersion]) -> list[ServedSlice]:
    """Returns what was answered by version, the newest first, kind and slice."""
    return list(_make_slices(served or Served(), pushed))


def _make_slices(served: Served, pushed: Mapping[int, PushedVersion]) -> Iterator[ServedSlice]:
    for version in served.versions:
        release = pushed.get(version.version)
        for kind, tallies in version.kinds.items():
            for name, tally in islice(tallies.items(), _MOST_DEVICES if kind == "device" else None):
                before = release.accuracy_of(kind, name) if release else None
                drawn = Slice(kind, name, 0, before=before)
                if found := tally.checked:
                    share, groups = (found.share, found.low, found.high), found.sessions
                    drawn = Slice(kind, name, found.examples, *share, before=before, groups=groups)
                yield ServedSlice(version.version, tally, drawn)
