"""The report as Markdown, for a pull request: a page of tables and short lines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from shadowlane.aggregator.gate._gate import GateResult
from shadowlane.aggregator.report import _values
from shadowlane.aggregator.report._notes import notes
from shadowlane.aggregator.report._report import Report
from shadowlane.aggregator.report.figures import DISAGREEMENT_ORDER, Segment
from shadowlane.visible import visible

VERDICTS = {
    "promote": "✅ PROMOTE",
    "hold": "⛔ HOLD",
    "inconclusive": "❔ INCONCLUSIVE",
    "no_data": "∅ NO DATA",
}
_MARKS = {True: "✅ pass", False: "❌ fail", None: "❔ unknown"}

# What Markdown or HTML would act on. A forge also makes links of @names and #numbers after rendering:
# a space of no width stops it.
_ACTS = re.compile(r"[\\`*_{}\[\]!|~^$:<>&@#]|(?<=www)\.", re.IGNORECASE)
_WRITTEN = {"<": "&lt;", ">": "&gt;", "&": "&amp;", "@": "&#64;&#8203;", "#": "&#35;&#8203;"}


def report_to_markdown(report: Report, gate: GateResult | None = None) -> str:
    """The report, with the verdict at its top where there is one."""
    parts = [f"# {_title(report)}", *_gate_parts(gate, "##"), *_report_parts(report)]
    return "\n\n".join(part for part in parts if part) + "\n"


def gate_to_markdown(result: GateResult) -> str:
    """The verdict and its checks alone."""
    summary = result.report_summary
    model, shadow, run = (escape(str(summary[name])) for name in ("model", "shadow", "run"))
    title = f"# {model} → {shadow}, run {run}"
    evidence = (
        f"Decided {_values.moment(result.decided_at)} by shadowlane {result.software_version}, "
        f"policy `{result.policy.digest}`, tables {_versions(result)}."
    )
    return "\n\n".join([title, *_gate_parts(result, "##"), *_notes(result.notes), evidence]) + "\n"


def escape(text: str, longest: int = 160) -> str:
    """Text from outside, with nothing left that Markdown, HTML or a forge would act on."""
    shown = visible(text, longest)
    return _ACTS.sub(lambda found: _WRITTEN.get(found.group(), f"\\{found.group()}"), shown)


def _title(report: Report) -> str:
    scope = report.scope
    return f"{escape(scope.model)} → {escape(scope.shadow)}, run {escape(scope.run)}"


def _gate_parts(gate: GateResult | None, level: str) -> Iterator[str]:
    if gate:
        yield f"{level} {VERDICTS[gate.verdict]}"
        yield escape(gate.reason, 1000)
        rows = ((check.name, _MARKS[check.passed], escape(check.why, 1000)) for check in gate.checks)
        yield _table(("check", "", "why"), rows)


def _report_parts(report: Report) -> Iterator[str]:
    yield _figures(report)
    if report.errors:
        yield "## Errors"
        yield _table(
            ("stage", "error", "requests", "share"),
            (
                (
                    escape(stage.stage) + ("" if stage.counted else " (not counted)"),
                    escape(each.error_type),
                    f"{each.requests:,}",
                    _values.percent(each.rate),
                )
                for stage in report.errors
                for each in stage.types
            ),
        )
    for segment in report.segments:
        yield f"## By {escape(segment.name)}"
        yield _segment(segment)
    if report.largest_disagreements:
        yield "## Largest disagreements"
        yield DISAGREEMENT_ORDER
        yield _table(
            ("request", "primary", "shadow", "difference"),
            (
                (
                    escape(each.request_id),
                    escape(_values.prediction(each.primary)),
                    escape(_values.prediction(each.shadow)),
                    _values.number(each.difference),
                )
                for each in report.largest_disagreements
            ),
        )
    yield from _notes(notes(report))
    yield f"Tables {_versions(report)}."


def _notes(remarks: Sequence[str]) -> Iterator[str]:
    if remarks:
        yield "## To know"
        yield "\n".join(f"- {escape(note, 1000)}" for note in remarks)


def _figures(report: Report) -> str:
    latency, write = report.latency, _values
    rows = [
        ("requests", f"{report.requests:,} ({report.compared:,} compared, {report.errored:,} errored)"),
        ("window seen", f"{write.moment(report.first_request)} to {write.moment(report.last_request)}"),
        ("agreement", f"{write.percent(report.agreement_rate)} ({report.disagreements:,} disagreements)"),
        ("error rate", write.percent(report.error_rate)),
    ]
    if report.undecodable:
        rows.append(("not readable", _values.unreadable(report.undecodable)))
    if latency:
        for level in ("p50_ms", "p95_ms", "p99_ms"):
            primary, shadow = getattr(latency.primary, level), getattr(latency.shadow, level)
            text = f"{write.milliseconds(primary)} → {write.milliseconds(shadow)}"
            rows.append((f"latency {level.removesuffix('_ms')}", text))
    rows.append(
        (f"distance of the {report.distribution_of or 'predictions'}", write.distance(report.distance))
    )
    if report.ledger:
        ledger = report.ledger
        text = (
            f"{ledger.observed:,} observed, {ledger.sampled_out:,} sampled out, "
            f"{sum(ledger.dropped.values()):,} dropped, {ledger.delivered:,} delivered, "
            f"{write.count(ledger.unexplained)} unexplained"
        )
        rows.append(("ledger", text))
    return _table(("figure", "value"), rows)


def _segment(segment: Segment) -> str:
    groups = [*segment.groups, *([segment.other] if segment.other else [])]
    rows = []
    for group in groups:
        name = "(all others)" if group is segment.other else escape(group.value) if group.value else "(none)"
        rows.append(
            (
                name + (" (small)" if group.is_small else ""),
                f"{group.requests:,}",
                _values.percent(group.agreement_rate),
                _values.percent(group.error_rate),
            )
        )
    return _table(("value", "requests", "agreement", "error rate"), rows)


def _versions(source: Report | GateResult) -> str:
    return ", ".join(
        f"{name} {'absent' if version is None else f'@{version}'}"
        for name, version in source.table_versions.items()
    )


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
