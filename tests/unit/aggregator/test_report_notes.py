"""What the report says in words beside its figures."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shadowlane.aggregator.report._notes import notes
from shadowlane.aggregator.report._report import KnownRun, Report, VersionPair
from shadowlane.aggregator.report.figures import Duplicates, LatencyBasis, Ledger
from unit.aggregator.reports import latencies, latency, report, scores

_NONE = Duplicates(repeated_rows=0, repeated_requests=0, repeated_errors=0, recovered=0)
_LEDGER = Ledger(
    hooks=1,
    still_counting=0,
    observed=9,
    primary_failed=0,
    sampled_out=0,
    published=9,
    dropped={},
    delivered=9,
    failed=0,
    unexplained=0,
    uncounted=0,
)
_KNOWN = tuple(
    KnownRun(model=model, shadow="candidate-2", run=run)
    for model, run in [("fraud", "live"), ("\x1b[31m", "live"), ("fraud", "march")]
)
_PAIRS = (
    VersionPair(model_version="1", shadow_version="2", compared=9_000),
    VersionPair(model_version="", shadow_version="\x1b[31m3", compared=1),
)
_CROWDED = scores(0.1, primary=(999, *[0] * 48, 1), shadow=(999, *[0] * 48, 1))
_UNMEASURED = LatencyBasis(
    basis="single", requests=9, primary=latency(20.0, unmeasured=4, unusable=2), shadow=latency(80.0)
)


def test_a_plain_report_needs_no_words() -> None:
    """Where nothing is out of the ordinary, nothing is said."""
    assert notes(report(ledger=_LEDGER)) == ()
    assert notes(report(ledger=replace(_LEDGER, observed=200, dropped={"queue_full": 1}, failed=1))) == ()
    assert notes(report(ledger=replace(_LEDGER, still_counting=1))) == ()


@pytest.mark.parametrize(
    ("of", "said"),
    [
        (report(table_versions={"comparisons": None}), "no table of comparisons yet"),
        (report(versions=_PAIRS), r"1 against 2 (9,000), (none) against \x1b[31m3 (1)"),
        (report(comparators=("label", "score:0.1")), "several comparators: label, score:0.1"),
        (report(latencies=latencies(5.0, "warmup")), "1,000 requests among the first calls after a load"),
        (report(latencies=latencies(5.0, "amortized")), "timed as shares of a batch"),
        (report(latencies=latencies(5.0, "guessed")), "timed in another way (guessed)"),
        (report(latencies=(_UNMEASURED,)), "The primary's latency was not measured on 4 requests."),
        (report(latencies=(_UNMEASURED,)), "NaN, infinite or negative, left out: 2"),
        (report(scores=scores(0.1, shadow_not_finite=1)), "1 score of the shadow NaN or infinite"),
        (report(scores=scores(0.1, one_sided=2)), "Only one of the two models gave a score on 2 requests."),
        (report(scores=_CROWDED), "99.9 % of the scores lie in one bin: a few far values stretch it"),
        (report(undecodable=10), "10 messages on the topic could not be read; no model was asked"),
        (report(ignored=2), "2 compared requests ignored by a rule: in no agreement rate."),
        (report(duplicates=replace(_NONE, repeated_rows=1)), "1 row landed again"),
        (report(duplicates=replace(_NONE, repeated_requests=2)), "2 comparisons of a request_id seen before"),
        (report(duplicates=replace(_NONE, repeated_errors=3)), "3 earlier errors of the same request"),
        (report(duplicates=replace(_NONE, recovered=4)), "4 requests failed first and came to be compared"),
        (
            report(ledger=replace(_LEDGER, unexplained=5)),
            "5 requests delivered by the hooks and not in the lake",
        ),
        (report(ledger=replace(_LEDGER, observed=99, failed=1)), "1.0 % of the observed requests were"),
        (
            report(ledger=replace(_LEDGER, observed=100, dropped={"queue_full": 2, "too_large": 1})),
            "3.0 % of the observed requests were dropped or could not be delivered. Drops are not random",
        ),
        (
            report(ledger=replace(_LEDGER, still_counting=1, uncounted=200)),
            "The counts of 1 hook end early: the last entry is not a final one",
        ),
        (
            report(ledger=replace(_LEDGER, still_counting=1, published=12)),
            "and the end of 3 published requests is unknown",
        ),
        (
            report(known_runs=_KNOWN),
            r"the lake knows: fraud → candidate-2, \x1b[31m → candidate-2, fraud → candidate-2 (run march).",
        ),
        (report(ledger=replace(_LEDGER, uncounted=6)), "The lake holds 6 requests more"),
        (report(segment_notes=("city\x1b: not looked at",)), r"city\x1b: not looked at"),
    ],
)
def test_what_is_out_of_the_ordinary_is_said(of: Report, said: str) -> None:
    """Each thing that changes how the figures read has its sentence."""
    assert any(said in note for note in notes(of)), notes(of)
