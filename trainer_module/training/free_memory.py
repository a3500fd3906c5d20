"""The memory that this process may still take: of the machine, or within the pod's limit."""

from pathlib import Path

# Files of a container's control group, version 2 and 1: the limit, the memory in use, and its file cache.
_GROUPS = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
)


def free_memory(root: Path = Path("/")) -> int:
    """Returns the free memory in bytes; `root` is the folder of the system's proc and sys."""
    available = _read_numbers(root / "proc/meminfo")["MemAvailable:"] * 1024
    for limit, used, file_cache in _GROUPS:
        group = root / "sys/fs/cgroup"
        try:
            most = (group / limit).read_text().strip()
            if most != "max":
                in_use = int((group / used).read_text())
                reclaimable = _read_numbers((group / limit).with_name("memory.stat")).get(file_cache, 0)
                available = min(available, int(most) - in_use + reclaimable)
        except OSError:
            continue
    return max(available, 0)


def _read_numbers(file: Path) -> dict[str, int]:
    """Reads the first number of each line, by the line's name."""
    return {name: int(number) for name, number, *_ in map(str.split, file.read_text().splitlines())}
