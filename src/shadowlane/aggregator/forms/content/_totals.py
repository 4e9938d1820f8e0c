"""What must be seen first, the totals, and where each request went."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from shadowlane.aggregator.forms.content._parts import Cell, Column, Section, Table, Tone, right, table
from shadowlane.aggregator.report import _values
from shadowlane.aggregator.report._report import Report
from shadowlane.aggregator.report.figures import Completeness, Finding, Interval, Ledger, WorkerCounts
from shadowlane.visible import visible

_SENTENCE = 500
_MOST_FINDINGS = 15
_TONES: dict[str, Tone] = {"alarm": "bad", "warning": "open", "remark": "soft"}
_MOST_FEATURES = 10


def findings(report: Report) -> tuple[Finding, ...]:
    """The headline; a group that stands out is in it whatever happens. Beyond some, only how many more."""
    said = {each.sentence for each in report.headline}
    missed = [each.sentence for each in report.standouts or () if each.sentence not in said]
    alarms = [Finding(weight="alarm", section="segments", sentence=sentence) for sentence in missed]
    found = (*alarms, *report.headline)
    more = len(found) - _MOST_FINDINGS
    if more <= 1:
        return found
    rest = Finding(weight="remark", section="segments", sentence=f"And {more:,} more findings, below.")
    return (*found[:_MOST_FINDINGS], rest)


def headline(report: Report) -> Iterator[Section]:
    """The findings, the weightiest first."""
    rows = [
        (Cell(each.weight, _TONES[each.weight]), visible(each.sentence, _SENTENCE))
        for each in findings(report)
    ]
    if rows:
        yield Section(key="headline", title="What stands out", tables=(table(("", ""), rows),), brief=True)


def totals(report: Report) -> Section:
    """The figures that are asked for first."""
    return Section(
        key="totals",
        title="Totals",
        tables=(table(("figure", "value"), [*_figures(report)]),),
        brief=True,
    )


def _figures(report: Report) -> Iterator[tuple[str, str]]:
    write = _values
    yield "requests", f"{report.requests:,} = {report.compared:,} compared + {report.errored:,} errored"
    if report.scope.where:
        yield "only where", visible(report.scope.where, _SENTENCE)
    yield "window seen", f"{write.moment(report.first_request)} to {write.moment(report.last_request)}"
    agreement = report.agreement
    weighted = agreement.weighted if agreement else None
    known = _known(agreement.rate.interval if agreement else None, write.percent)
    yield (
        "agreement",
        f"{write.percent(report.agreement_rate)}{known}, {write.many(report.disagreements, 'disagreement')}",
    )
    if weighted is not None:
        yield "agreement, weighted", f"{write.percent(weighted)}, each for the 1/rate that it stands for"
    yield "error rate", write.percent(report.error_rate)
    if report.undecodable:
        yield "not readable", write.unreadable(report.undecodable)
    yield from _latencies(report)
    yield f"distance of the {report.distribution_of or 'predictions'}", write.distance(report.distance)


def _latencies(report: Report) -> Iterator[tuple[str, str]]:
    latency, write = report.latency, _values.milliseconds
    for level in ("p50", "p95", "p99") if latency else ():
        primary = getattr(latency and latency.primary, f"{level}_ms")
        shadow = getattr(latency and latency.shadow, f"{level}_ms")
        known = _known(getattr(latency and latency.shadow, f"{level}_interval"), write)
        yield f"latency {level}", f"{write(primary)} → {write(shadow)}{known}"


def _known(interval: Interval | None, write: Callable[..., str]) -> str:
    return f" ({_values.between(interval, write)})" if interval else ""


def balance(report: Report) -> Iterator[Section]:
    """Where each request went, by everyone's own counts."""
    found = report.completeness
    tables: list[Table] = []
    lead: list[str] = []
    if found and found.stations:
        rows = [
            (visible(each.name), _values.count(each.requests), visible(each.means)) for each in found.stations
        ]
        tables.append(table((Column("station"), *right("requests"), "what that is"), rows))
        lead += _remainder(found) if report.ledger else ["No hook has sent its counts to the lake."]
    elif report.ledger:
        rows = [(name, _values.count(value), "") for name, value in _hooks(report.ledger)]
        tables.append(table((Column("station"), *right("requests"), "what that is"), rows))
        lead += _unexplained(report.ledger)
    if report.ledger:
        lead.insert(0, _counted(report.ledger))
    again = [(name, _values.count(value)) for name, value in _again(report) if value]
    if again:
        tables.append(table((Column("found, and not counted"), *right("rows")), again, title="Repeats"))
    if found and found.workers:
        tables.append(table(("the workers' own counts", *right("value")), [*_workers(found.workers)]))
    if tables:
        yield Section(key="balance", title="Where each request went", lead=tuple(lead), tables=tuple(tables))


def _counted(ledger: Ledger) -> str:
    still = f", of which {ledger.still_counting:,} still counting" if ledger.still_counting else ""
    hooks = _values.many(ledger.hooks, "hook")
    return f"By the counts of {hooks}{still}: all that they saw, whatever this report's window."


def _remainder(found: Completeness) -> Iterator[str]:
    if found.unexplained is None:
        yield (
            "Whether all that was delivered was also replayed cannot be told of a window, a condition or a "
            "named replay."
        )
    else:
        rate = _values.percent(found.unexplained_rate)
        pending = f", {found.pending:,} more are still on their way" if found.pending else ""
        yield f"In no count: {_values.many(found.unexplained, 'request')} ({rate} of the delivered){pending}."


def _unexplained(ledger: Ledger) -> Iterator[str]:
    if ledger.unexplained is None:
        yield "Whether all that was delivered was also replayed cannot be told of a window or a named replay."
    elif ledger.uncounted:
        yield (
            f"All that was delivered is in the lake, which holds {ledger.uncounted:,} more than these counts "
            "say: they may be late, or other programs publish."
        )
    elif ledger.unexplained:
        yield f"Delivered and not in the lake, waiting or lost: {ledger.unexplained:,}."
    else:
        yield "All that was delivered is in the lake."


def _hooks(ledger: Ledger) -> Iterator[tuple[str, int]]:
    yield "observed", ledger.observed
    yield "primary failed", ledger.primary_failed
    yield "sampled out", ledger.sampled_out
    yield "published", ledger.published
    for reason, dropped in ledger.dropped.items():
        yield f"dropped: {visible(reason)}", dropped
    yield "delivered", ledger.delivered
    yield "failed", ledger.failed


def _again(report: Report) -> Iterator[tuple[str, int]]:
    found = report.duplicates
    yield "the same place of the topic landed again", found.repeated_rows
    yield "a request published twice: its first comparison counts", found.repeated_requests
    yield "a request that failed more than once: its last error counts", found.repeated_errors
    yield "a request that failed and was compared later: the comparison counts", found.recovered


def _workers(found: WorkerCounts) -> Iterator[tuple[str, str]]:
    still = f", {found.still_counting:,} still counting" if found.still_counting else ""
    yield "workers", f"{found.workers:,}{still}"
    yield "compared", _values.count(found.compared)
    for stage, errors in found.errors.items():
        yield f"errors at {visible(stage)}", _values.count(errors)
    yield "lost to retention before they were read", _values.count(found.lost)
    yield "restarts", _values.count(found.restarts)
    for said, names in (("missing", found.missing_features), ("unexpected", found.unexpected_features)):
        for name, times in [*names.items()][:_MOST_FEATURES]:
            yield f"feature {visible(name)} {said}", _values.count(times)
