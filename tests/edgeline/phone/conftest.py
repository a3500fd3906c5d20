"""Phones with the page, and stores of every kind of workload."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.edgeline.phone.releases import KINDS, push


@pytest.fixture
def open_phone(browser):
    from tests.edgeline.phone.pages import Phone

    phones: list[Phone] = []

    def open_page(url: str, **options: Any) -> Phone:
        phones.append(Phone(browser, url, **options))
        return phones[-1]

    yield open_page
    for phone in phones:
        phone.close()


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Pushes the first release of each kind; a test that changes the store takes a copy."""
    folder = tmp_path_factory.mktemp("releases")
    for kind in KINDS:
        push(folder / "push", folder / kind, kind, variant="fp32" if kind == "text" else "int8")
    return folder / "push"


@pytest.fixture
def root(stores, tmp_path):
    return Path(shutil.copytree(stores, tmp_path / "push"))
