"""What the lake knows of its labels: counted once each, by the one that counts."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from labelled import HEADER, imported, written
from shadowlane.aggregator.labels import LabelledDay, Lateness, labels_status
from shadowlane.errors import DamagedLakeError, SettingsError
from unit.aggregator.report_lake import NOON, comparison, error, files, land

DAY = timedelta(days=1)


def label(lake: Path, *rows: tuple[str, str, timedelta], name: str = "label", model: str = "ranker") -> None:
    """Labels of requests, observed so long after noon; an empty one takes it back."""
    lines = [f"{request},{value},{(NOON + after).isoformat()}\n" for request, value, after in rows]
    file = written(lake.with_name(f"{name}-{len(rows)}.csv"), HEADER + "".join(lines))
    imported(file, lake, model=model, name=name, empty="withdraw")


def test_each_figure_counts_what_it_says(tmp_path: Path) -> None:
    """Of several labels for a request the latest counts; each other is a duplicate or a correction."""
    lake = land(
        tmp_path / "lake",
        [
            *(comparison(n) for n in range(4)),
            comparison(2, source_offset=99, event_time=NOON + timedelta(hours=1)),  # the same request again
            comparison(10, event_time=NOON + DAY),
            comparison(11, event_time=NOON + DAY, shadow="other"),
        ],
        [error(20, event_time=NOON)],
    )
    hour = timedelta(hours=1)
    label(
        lake,
        ("r0", "1", hour),
        ("r0", "1", 2 * hour),
        ("r0", "0", 3 * hour),
        ("r1", "1", -hour),
        ("r2", "1", hour),
        ("r2", "", 2 * hour),
        ("r10", "1", 2 * DAY),
        ("r11", "1", 200 * DAY),
        ("r20", "1", hour),
        ("r99", "1", hour),
    )
    [status] = labels_status(lake)
    assert (status.model, status.compared) == ("ranker", 6)
    [found] = status.names
    assert (found.name, found.rows, found.requests, found.withdrawn) == ("label", 10, 6, 1)
    assert (found.duplicates, found.corrections, found.unknown_ids) == (1, 2, 1)
    assert (found.covered, found.before_request) == (4, 1)
    assert found.days == (
        LabelledDay(NOON.date(), 4, 2),
        LabelledDay((NOON + DAY).date(), 2, 2),
    )
    assert isinstance(found.lateness, Lateness)
    assert found.lateness.max_seconds == (199 * DAY).total_seconds()
    # Of -3601, 3600, 10800, 86400 and 17193600 seconds.
    assert found.lateness.p50_seconds == 10_800
    [other] = labels_status(lake, "ranker", "other")
    assert (other.compared, other.names[0].covered) == (1, 1)


def test_names_and_models_are_told_apart(tmp_path: Path) -> None:
    """Each model that has labels, and each name in it, with its own figures."""
    lake = land(tmp_path / "lake", [comparison(0)])
    label(lake, ("r0", "1", DAY))
    label(lake, ("r0", "2.5", DAY), ("r0", "2.50", 2 * DAY), name="revenue")
    label(lake, ("r0", "1", DAY), ("r1", "1", DAY), ("r2", "1", DAY), model="another")
    another, ranker = labels_status(lake)
    assert [(each.name, each.rows, each.unknown_ids, each.lateness) for each in another.names] == [
        ("label", 3, 3, None)
    ]
    assert [(each.name, each.rows, each.duplicates, each.covered) for each in ranker.names] == [
        ("label", 1, 0, 1),
        ("revenue", 2, 1, 1),
    ]
    assert labels_status(lake, "another") == (another,)


def test_no_labels_is_nothing_rather_than_an_error(tmp_path: Path) -> None:
    """In a lake that is not there yet, too."""
    assert labels_status(tmp_path / "nowhere") == ()
    lake = land(tmp_path / "lake", [comparison(0)])
    [status] = labels_status(lake, "ranker")
    assert (status.compared, status.names) == (1, ())


def test_figures_are_never_drawn_from_half_a_lake(tmp_path: Path) -> None:
    """A file that was cut is named."""
    lake = land(tmp_path / "lake", [comparison(0)])
    label(lake, ("r0", "1", DAY))
    [file] = files(lake, "labels")
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(DamagedLakeError, match=file.name):
        labels_status(lake)


def test_a_name_that_cannot_be_one_is_refused(tmp_path: Path) -> None:
    """Before anything is read."""
    with pytest.raises(SettingsError, match="shadow name"):
        labels_status(tmp_path, "ranker", "../up")
