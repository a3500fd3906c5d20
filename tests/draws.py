"""Draws some cases of the tests that could try every one, by a seed that a run prints and that can be given.

A test marked `drawn(count)` runs with so many of its parameters; one that draws in itself, or in a process
that it starts, has the fixture `case_seed`. With `--every-case`, as `make test-all` has it, all are taken.
"""

import random
from collections import defaultdict
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the options."""
    parser.addoption("--every-case", action="store_true", help="run each case of the tests that draw some")
    parser.addoption("--seed", type=int, default=random.randrange(10**6), help="draws the cases")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Gives the seed to a process that runs tests: all have to draw the same."""
    node.workerinput["seed"] = node.config.getoption("seed")


def pytest_configure(config: pytest.Config) -> None:
    """Takes the seed of the process that started this one."""
    config.option.seed = getattr(config, "workerinput", {}).get("seed", config.option.seed)


def pytest_report_header(config: pytest.Config) -> str:
    """Says which cases run."""
    if config.getoption("every_case"):
        return "every case of each test"
    return f"cases drawn by --seed {config.getoption('seed')}"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out the cases that are not drawn."""
    if config.getoption("every_case"):
        return
    cases = defaultdict(list)
    for item in items:
        if item.get_closest_marker("drawn"):
            cases[item.nodeid.partition("[")[0]].append(item)

    left_out: set[pytest.Item] = set()
    for name, group in cases.items():
        count = group[0].get_closest_marker("drawn").args[0]
        drawn = random.Random(f"{config.getoption('seed')} {name}").sample(group, min(count, len(group)))
        left_out.update(item for item in group if item not in drawn)
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=list(left_out))


@pytest.fixture(scope="session")
def case_seed(request: pytest.FixtureRequest) -> int | None:
    """Returns the seed of what a test draws; None where it has to try everything."""
    seed: int = request.config.getoption("seed")
    return None if request.config.getoption("every_case") else seed
