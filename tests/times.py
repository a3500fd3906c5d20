"""Measures the CPU time of each test and of each fixture, and lists the longest at the end of a run.

CPU time is that of the process, of its children that have ended, and of jobs that `tests/warm.py` forked, but
for their conversions, in seconds: it depends little on what else the machine does. All of it stands in
`TIMES` of pytest's cache, where the next run replaces it.
"""

import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.warm import WarmRun

TIMES = "edgeline/cpu_seconds.json"
_LONGEST = 15


def measure_cpu() -> float:
    """Returns the CPU seconds of this process, of its ended children and of forked jobs."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system + WarmRun.cpu_s


class Times:
    """Adds CPU times to the reports of tests where they run, and sums them where reports arrive."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._began = 0.0
        self._fixtures: Counter[str] = Counter()
        self.tests: Counter[str] = Counter()
        self.fixtures: Counter[str] = Counter()
        self._workers_cpu_s = 0.0

    def pytest_sessionfinish(self) -> None:
        if hasattr(self._config, "workeroutput"):
            self._config.workeroutput["cpu_s"] = measure_cpu()

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        self._workers_cpu_s += getattr(node, "workeroutput", {}).get("cpu_s", 0.0)

    def pytest_runtest_logstart(self) -> None:
        self._began = measure_cpu()
        self._fixtures.clear()

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Iterator[None]:
        began = measure_cpu()
        try:
            return (yield)
        finally:
            self._fixtures[f"{fixturedef.baseid}::{fixturedef.argname}"] += measure_cpu() - began

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Iterator[None]:
        report = yield
        # The end of a test is the last of its reports; xdist carries any plain value of a report.
        if report.when == "teardown":
            report.cpu_s = measure_cpu() - self._began
            report.fixtures_cpu_s = dict(self._fixtures)
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "teardown":
            self.tests[report.nodeid] += report.cpu_s
            self.fixtures.update(report.fixtures_cpu_s)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if not self.tests:
            return
        own = os.times()
        total = own.user + own.system + self._workers_cpu_s if self._workers_cpu_s else measure_cpu()
        tests, fixtures = self.tests.most_common(), self.fixtures.most_common()
        times = {"total": total, "tests": dict(tests), "fixtures": dict(fixtures)}
        if cache := getattr(self._config, "cache", None):
            cache.set(TIMES, times)
        in_tests = sum(self.tests.values())
        terminalreporter.section(f"{total:.0f} s of CPU, {in_tests:.0f} in tests and their fixtures")
        for name, seconds in (*tests[:_LONGEST], *fixtures[:_LONGEST]):
            terminalreporter.line(f"{seconds:7.1f} s  {name}")


def pytest_configure(config: pytest.Config) -> None:
    """Begins to measure."""
    config.pluginmanager.register(Times(config))
