from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.faults.nursery import Nursery
from tests.faults.oracle import check_undisturbed, left_by, prepare

ORDERS = "tests.faults.application:orders"


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "orders.db"
    prepare(path)
    return path


@pytest.fixture(scope="session")
def undisturbed(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a run without faults leaves."""
    path = tmp_path_factory.mktemp("undisturbed") / "orders.db"
    prepare(path)
    end = nursery.run(ORDERS, path, 0)
    assert end.code == 0, end.log
    left = left_by(path)
    check_undisturbed(left)
    return left
