"""What goes wrong, in groups: one kind of fault is one line, whatever it names."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from pathlib import Path

import pytest
from rich.console import Console

from shadowlane.aggregator import (
    ErrorFilter,
    ErrorGroup,
    Scope,
    errors_in_lake,
    errors_to_json,
    read_report,
)
from shadowlane.aggregator.terminal import print_errors
from shadowlane.errors import Place, SettingsError
from unit.aggregator.report_lake import NOON, comparison, error, hook, land

EVERYTHING = ErrorFilter()


def listed(lake: Path, chosen: ErrorFilter = EVERYTHING) -> tuple[ErrorGroup, ...]:
    """The groups of a lake's errors."""
    return errors_in_lake(lake, chosen)


def test_one_fault_is_one_group_whatever_it_names(tmp_path: Path) -> None:
    """Numbers, ids and quoted words differ from request to request; the rest is what was said."""
    messages = [
        "no history for 'user-1' after 3 tries",
        "no history for 'user-22'  after 12 tries",
        "no history for 'x y' after 1.5e-7 tries",
    ]
    errors = [error(n, message=message) for n, message in enumerate(messages)]
    [group] = listed(land(tmp_path, errors=errors))
    assert group.message == "no history for '…' after # tries"
    assert (group.requests, group.error_type, group.stage) == (3, "KeyError", "predict")
    assert (group.first_seen, group.last_seen) == (NOON + timedelta(seconds=1), NOON + timedelta(seconds=3))
    assert (group.example, group.example_request) == (Place("production-requests", 2, 0), "r2")


@pytest.mark.parametrize(
    ("message", "shape"),
    [
        ("can't find it, they're gone", "can't find it, they're gone"),
        ("KeyError('a')", "KeyError('…')"),
        ('it said "no, never" twice', 'it said "…" twice'),
        ("id 550e8400-e29b-41d4-a716-446655440000.", "id #."),
        ("hash deadbeefcafe0123 at 0x7f3a", "hash # at #"),
        ("shape (3, 20), not (20,)", "shape (#, #), not (#,)"),
        ("took 12.5 s at 10:30:00", "took # s at #"),
        ("x" * 500, "x" * 200),
        ("", ""),
        (None, ""),
    ],
)
def test_what_is_left_of_a_message(tmp_path: Path, message: str | None, shape: str) -> None:
    """What is said stays readable; what it is said of does not."""
    [group] = listed(land(tmp_path, errors=[error(1, message=message)]))
    assert group.message == shape


def test_of_a_requests_errors_the_last_one_counts(tmp_path: Path) -> None:
    """Redriven and failed in another way: the request is in the new group alone."""
    again = error(1, message="other", error_type="ValueError", failed_at=NOON + timedelta(hours=1))
    groups = listed(land(tmp_path, errors=[error(1), error(2), again]))
    assert {group.error_type: group.requests for group in groups} == {"KeyError": 1, "ValueError": 1}


def test_what_was_compared_since_is_told_apart(tmp_path: Path) -> None:
    """A redriven request stays in its group, as one that is mended; another run mends nothing."""
    errors = [error(n) for n in range(5)]
    comparisons = [comparison(0), comparison(1, run="march"), comparison(2, shadow="other"), comparison(9)]
    comparisons += [comparison(3, model="classifier")]
    [group] = listed(land(tmp_path, comparisons, errors))
    assert (group.requests, group.compared_since) == (5, 1)


def test_another_request_in_the_place_of_a_failed_one_mends_nothing(tmp_path: Path) -> None:
    """A topic made anew begins at 0 again; a message that nobody could read is known by its place alone."""
    unread = {"request_id": None, "event_time": None, "stage": "decode", "error_type": "CorruptMessageError"}
    errors = [error(0), error(1, **unread)]
    comparisons = [comparison(0, request_id="another"), comparison(1)]
    groups = listed(land(tmp_path, comparisons, errors))
    assert {group.stage: group.compared_since for group in groups} == {"predict": 0, "decode": 1}


@pytest.mark.parametrize(
    ("chosen", "places"),
    [
        (EVERYTHING, {0, 1, 2, 3, 4}),
        (ErrorFilter(model="ranker"), {0, 2, 3, 4}),
        (ErrorFilter(shadow="other"), {2}),
        (ErrorFilter(run="march"), {3}),
        (ErrorFilter(stages=["decode", "fetch"]), {4}),
        (ErrorFilter(since=NOON + timedelta(seconds=4)), {3, 4}),
        (ErrorFilter(model="nobody"), set()),
    ],
)
def test_errors_are_listed_by_what_is_asked_for(
    tmp_path: Path, chosen: ErrorFilter, places: set[int]
) -> None:
    """Model, shadow, run, stage and time narrow the list; nothing given is everything."""
    errors = [
        error(0),
        error(1, model="classifier"),
        error(2, shadow="other"),
        error(3, run="march"),
        error(4, stage="decode"),
    ]
    groups = listed(land(tmp_path, errors=errors), chosen)
    assert {each.example.partition + 4 * each.example.offset for each in groups} == places
    assert sum(each.requests for each in groups) == len(places)


def test_a_lake_without_errors_has_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Neither has one that is not there yet: but that is said, lest a wrong folder looks like good news."""
    land(tmp_path / "lake", errors=[error(1)])
    assert listed(tmp_path / "lake", ErrorFilter(run="march")) == ()
    assert not caplog.messages
    assert listed(tmp_path / "nowhere") == ()
    assert "nowhere has no table of errors" in caplog.messages[0]


def test_a_model_that_cannot_be_a_name_is_refused(tmp_path: Path) -> None:
    """It would be looked for in a folder that no model has."""
    with pytest.raises(SettingsError, match="model name"):
        listed(tmp_path, ErrorFilter(model="../etc"))


def test_json_holds_what_a_group_holds(tmp_path: Path) -> None:
    """Times in ISO 8601, the example's place in parts."""
    said = json.loads(errors_to_json(listed(land(tmp_path, errors=[error(5)]))))
    assert said["schema"] == "shadowlane.errors/1"
    [group] = said["errors"]
    assert group["first_seen"] == group["last_seen"] == "2026-03-01T12:00:06+00:00"
    assert group["example"] == {"topic": "production-requests", "partition": 1, "offset": 1}
    assert (group["model"], group["shadow"], group["run"]) == ("ranker", "challenger", "live")


def page(groups: tuple[ErrorGroup, ...]) -> str:
    """What a terminal of 100 columns is sent."""
    console = Console(file=io.StringIO(), width=100, force_terminal=True, color_system="truecolor")
    print_errors(groups, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_no_text_of_an_error_acts_on_a_terminal(tmp_path: Path) -> None:
    """Escapes, markup and line breaks in messages, types, runs and topics are shown, not obeyed."""
    bad = "\x1b]0;owned\x07 [red]x[/red] \x1b[2J\r\n\u202e"
    texts = {"message": bad, "error_type": bad, "stage": bad, "run": bad, "shadow": bad, "source_topic": bad}
    shown = page(listed(land(tmp_path, errors=[error(1, **texts)])))
    assert "\x1b]" not in shown
    assert "\x1b[2J" not in shown
    assert "\r" not in shown
    assert "\u202e" not in shown
    assert "[red]" in shown.replace("\n", "")


def test_the_page_names_each_run_once(tmp_path: Path) -> None:
    """A table for each shadow and run, the most frequent fault first."""
    errors = [error(1), error(2, error_type="ValueError"), error(3), error(4, run="march")]
    shown = page(listed(land(tmp_path, [comparison(1)], errors)))
    assert shown.count("ranker  →  challenger   run live") == 1
    assert shown.count("ranker  →  challenger   run march") == 1
    assert shown.index("KeyError") < shown.index("ValueError")
    assert "1 compared since" in shown
    assert "no errors" in page(())


def test_a_request_that_failed_and_was_redriven_is_at_one_place_in_the_ledger(tmp_path: Path) -> None:
    """Ten delivered, ten accounted for: the error and its comparison lie at the same place."""
    errors = [error(8), error(9), error(9, failed_at=NOON + timedelta(hours=1), landed_offset=90)]
    lake = land(tmp_path, [comparison(n) for n in range(9)], errors, [hook("p", delivered=10)])
    report = read_report(lake, Scope("ranker", "challenger"))
    assert (report.compared, report.errored, report.duplicates.recovered) == (9, 1, 1)
    assert sum(stage.requests for stage in report.errors) == 1
    assert report.ledger is not None
    assert (report.ledger.unexplained, report.ledger.uncounted) == (0, 0)
