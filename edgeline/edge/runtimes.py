"""The oldest runtime of TFLite, which is LiteRT today, that has all operators of an edge file."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

_LISTED = Path(__file__).with_name("runtimes.txt")


def find_least_runtime(op_versions: Mapping[str, int]) -> str | None:
    """Returns the oldest runtime with these builtin operators, such as `2.17`; None if one is not listed."""
    listed = _read_list()
    if any(version > len(listed.get(op, ())) for op, version in op_versions.items()):
        return None
    runtimes = (listed[op][version - 1] for op, version in op_versions.items())
    return max(runtimes, key=parse_runtime, default=None)


def find_newer(op_versions: Mapping[str, int], oldest: str) -> list[str]:
    """Lists the operators that the runtime `oldest` lacks, or of which nothing is listed, with versions."""
    newer = []
    for op, version in op_versions.items():
        least = find_least_runtime({op: version})
        if least is None or parse_runtime(least) > parse_runtime(oldest):
            newer.append(f"{op} version {version}")
    return newer


def parse_runtime(version: str) -> tuple[int, ...]:
    """Returns the major and the minor number of a version, by which versions are in order."""
    return tuple(int(part) for part in version.split(".")[:2])


@cache
def _read_list() -> Mapping[str, list[str]]:
    lines = [line.split() for line in _LISTED.read_text("ascii").splitlines() if not line.startswith("#")]
    return {op: runtimes for op, *runtimes in lines}
