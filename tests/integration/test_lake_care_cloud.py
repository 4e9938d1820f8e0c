"""Care for a lake in an object store: the same commands, the same rows, nothing that is listed deleted."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import timedelta

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from care_lakes import APP, entries
from object_stores import Bucket, s3_bucket, s3_store
from shadowlane.errors import DamagedLakeError
from shadowlane.lake import LEDGER, LakeTable
from shadowlane.lake._store import open_store
from shadowlane.lake.care import (
    CompactionPlan,
    ExpiryPlan,
    VacuumPlan,
    compact,
    expire,
    look_deep,
    status,
    vacuum,
)
from shadowlane.settings import Location


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    """A bucket of an S3 of this test's own."""
    with s3_store() as endpoint:
        yield s3_bucket(endpoint, uuid.uuid4().hex)


def listed(lake: Location) -> list[str]:
    """The files that the table lists."""
    table = DeltaTable(lake.table("ledger"), storage_options=dict(lake.options))
    paths: list[str] = pa.table(table.get_add_actions()).column("path").to_pylist()
    return sorted(paths)


def stored(lake: Location) -> list[str]:
    """The files that are there."""
    store = open_store(Location(lake.table("ledger"), lake.options))
    return sorted(each.path for each in store.walk() if not each.path.startswith("_delta_log/"))


def test_a_lake_in_a_bucket_is_looked_after(bucket: Bucket) -> None:
    """Joined, vacuumed, let go, and told of; damage is found there, too."""
    lake = bucket.location("team/lake")
    table = LakeTable(lake, LEDGER)
    table.resume(APP)
    for number in range(4):
        table.append(entries(number), {APP: number + 1})
    (done,) = compact(CompactionPlan(lake))
    assert (done.joined, done.into, done.rows) == (4, 1, 4)
    (kept,) = vacuum(VacuumPlan(lake))
    assert (kept.files, kept.waiting) == (0, 4)
    (gone,) = vacuum(VacuumPlan(lake, keep=timedelta(0), force=True))
    assert gone.files == 4
    assert stored(lake) == listed(lake)
    (found,) = status(lake)
    assert (found.holding.rows, found.holding.files) == (4, 1)
    assert [(each.topic, each.next_offset) for each in found.positions] == [("shadow-ledger", 4)]
    assert found.log.checkpoint == found.log.version
    assert [each.gaps.present for each in look_deep(lake).landed] == [4]

    table.append(entries(4), {APP: 5})
    open_store(Location(lake.table("ledger"), lake.options)).put(listed(lake)[0], b"altered")
    with pytest.raises(DamagedLakeError, match=r"cut or altered"):
        compact(CompactionPlan(lake))
    assert len(listed(lake)) == 2
    expire(ExpiryPlan(lake, [LEDGER], older_than=timedelta(days=1)))
    assert listed(lake) == []
    assert LakeTable(lake, LEDGER).resume(APP) == 5
