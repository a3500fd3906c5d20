"""How much memory this process may still take: what the machine has, or the pod's limit leaves."""

from pathlib import Path

# Of a container's control group, version 2 and 1: limit, what is used, and what of that is files' alone.
_GROUPS = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
)


def free_memory(root: Path = Path("/")) -> int:
    """In bytes; `root` has the system's proc and sys."""
    available = _numbers(root / "proc/meminfo")["MemAvailable:"] * 1024
    for limit, used, of_files in _GROUPS:
        group = root / "sys/fs/cgroup"
        try:
            most = (group / limit).read_text().strip()
            if most != "max":
                taken = int((group / used).read_text())
                reclaimed = _numbers((group / limit).with_name("memory.stat")).get(of_files, 0)
                available = min(available, int(most) - taken + reclaimed)
        except OSError:
            continue
    return max(available, 0)


def _numbers(file: Path) -> dict[str, int]:
    """The first number of each line by the line's name."""
    return {name: int(number) for name, number, *_ in map(str.split, file.read_text().splitlines())}
