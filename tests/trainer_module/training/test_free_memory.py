from pathlib import Path

from trainer_module.training.free_memory import free_memory

GB = 1024**3


def write_machine(root: Path, **files: str) -> Path:
    """Writes the files of a system with 8 GB available, and those of control groups."""
    files = {"proc/meminfo": "MemTotal: 16777216 kB\nMemAvailable: 8388608 kB\nHugePages_Free: 0", **files}
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    return root


def test_free_memory_is_the_available_memory_of_the_machine(tmp_path):
    assert free_memory(write_machine(tmp_path)) == 8 * GB
    assert free_memory() > 0


def test_the_limit_of_a_pod_counts_minus_its_usage_without_cached_files(tmp_path):
    group = "sys/fs/cgroup/memory"
    files = {f"{group}.max": str(4 * GB), f"{group}.current": str(3 * GB)}
    of_files = f"anon {2 * GB}\ninactive_file {GB}"
    assert free_memory(write_machine(tmp_path, **files, **{f"{group}.stat": of_files})) == 2 * GB
    assert free_memory(write_machine(tmp_path, **{f"{group}.max": "max"})) == 8 * GB


def test_control_groups_of_the_first_version_are_read_too(tmp_path):
    group = "sys/fs/cgroup/memory/memory"
    files = {f"{group}.limit_in_bytes": str(2 * GB), f"{group}.usage_in_bytes": str(GB)}
    assert free_memory(write_machine(tmp_path, **files, **{f"{group}.stat": "total_inactive_file 0"})) == GB
