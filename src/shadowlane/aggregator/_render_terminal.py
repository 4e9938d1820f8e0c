"""The report and the gate's result on a terminal of 100 columns (needs `[cli]`).

Text from data is made visible and given as rich's `Text`, never as markup: no value can colour or
move anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from shadowlane.aggregator import _values
from shadowlane.aggregator._gate import GateResult
from shadowlane.aggregator._notes import notes
from shadowlane.aggregator._report import DISAGREEMENT_ORDER, Latency, Ledger, Report, Segment
from shadowlane.errors import MissingExtraError

try:
    from rich import box
    from rich.console import Console, Group, RenderableType
    from rich.padding import Padding
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text
except ImportError as error:  # pragma: no cover - the base install is tested in an environment of its own
    raise MissingExtraError("cli", "The terminal page") from error

WIDTH = 100

_VERDICTS = {
    "promote": ("PROMOTE", "green"),
    "hold": ("HOLD", "red"),
    "inconclusive": ("INCONCLUSIVE", "yellow"),
    "no_data": ("NO DATA", "yellow"),
}
_MARKS = {True: ("pass", "green"), False: ("FAIL", "bold red"), None: ("unknown", "yellow")}
_BLOCKS = " ▁▂▃▄▅▆▇█"
_ASCII_BLOCKS = " .:-=+*#@"


def print_report(report: Report, console: Console, gate: GateResult | None = None) -> None:
    """Print the report, with the verdict at its top where there is one."""
    title = Text.assemble(
        ("shadowlane report  ", "dim"),
        (report.scope.model, "bold cyan"), "  →  ", (report.scope.shadow, "bold magenta"),
        (f"   run {report.scope.run}", "dim"),
    )  # fmt: skip
    parts: list[RenderableType] = [title, Text()]
    if gate:
        parts += [_verdict(gate), Text()]
    parts += [
        _totals(report),
        *_latencies(report),
        *_scores(report, console),
        *_labels(report),
        *_errors(report),
    ]
    parts += [*(_segment(segment) for segment in report.segments), *_disagreements(report)]
    parts += _notes(notes(report))
    console.print(Group(*parts), width=min(console.width, WIDTH))


def print_gate(result: GateResult, console: Console) -> None:
    """Print the verdict and its checks."""
    console.print(Group(_verdict(result), *_notes(result.notes)), width=min(console.width, WIDTH))


def _verdict(gate: GateResult) -> RenderableType:
    word, colour = _VERDICTS[gate.verdict]
    table = Table(box=None, show_header=False, padding=(0, 1), expand=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1)
    for check in gate.checks:
        table.add_row(Text(*_MARKS[check.passed]), Text(check.name, "bold"), Text(check.why))
    reason = Text(gate.reason + "\n", style="bold")
    return Panel(Group(reason, table), title=Text(f" {word} ", f"bold reverse {colour}"), border_style=colour)


def _totals(report: Report) -> RenderableType:
    table = _table(None, ("", "left"), ("", "left"), header=False)
    lines = [
        ("Requests", f"{report.requests:,}  =  {report.compared:,} compared + {report.errored:,} errored"),
        ("Window seen", f"{_values.moment(report.first_request)}  to  {_values.moment(report.last_request)}"),
        ("Agreement", f"{_values.percent(report.agreement_rate)}   {report.disagreements:,} disagreements"),
        ("Error rate", _values.percent(report.error_rate)),
    ]
    if report.undecodable:
        lines.append(("Not readable", _values.unreadable(report.undecodable)))
    if report.ledger:
        ledger = report.ledger
        lines.append(("Observed", f"{ledger.observed:,} = {_seen(ledger)}"))
        lines.append(
            ("Delivered", f"{ledger.delivered:,}, of which {_values.count(ledger.unexplained)} unexplained")
        )
    versions = (
        f"{name} {'absent' if at is None else f'@{at}'}" for name, at in report.table_versions.items()
    )
    lines.append(("Tables", ", ".join(versions)))
    for name, text in lines:
        table.add_row(Text(name, "bold"), Text(text))
    return table


def _seen(ledger: Ledger) -> str:
    given_up = sum(ledger.dropped.values())
    return (
        f"{ledger.published:,} published + {ledger.sampled_out:,} sampled out + {given_up:,} dropped"
        f" + {ledger.primary_failed:,} primary failed"
    )


def _latencies(report: Report) -> Iterable[RenderableType]:
    if not report.latencies:
        return
    table = _table(
        "Latency", ("timed", "left"), ("requests", "right"), ("model", "left"),
        ("p50", "right"), ("p95", "right"), ("p99", "right"),
    )  # fmt: skip
    for each in report.latencies:
        basis = Text(_values.visible(each.basis, 20))
        table.add_row(basis, f"{each.requests:,}", Text("primary", "cyan"), *_percentiles(each.primary))
        table.add_row("", "", Text("shadow", "magenta"), *_percentiles(each.shadow))
    yield Text()
    yield table


def _percentiles(latency: Latency) -> list[str]:
    return [_values.milliseconds(each) for each in (latency.p50_ms, latency.p95_ms, latency.p99_ms)]


def _scores(report: Report, console: Console) -> Iterable[RenderableType]:
    scores = report.scores
    if not scores or not scores.edges:
        return
    blocks = _BLOCKS if console.encoding.lower().startswith("utf") else _ASCII_BLOCKS
    low, high = _values.number(scores.edges[0]), _values.number(scores.edges[-1])
    yield Text()
    yield Text("Scores", "bold")
    for name, colour, counts in (("primary", "cyan", scores.primary), ("shadow", "magenta", scores.shadow)):
        yield Padding(
            Text.assemble((f"{name:8}", colour), "│", (_sparkline(counts, blocks), colour), "│"), (0, 1)
        )
    yield Padding(Text(f"{'':9}{low}{high:>{max(1, 50 - len(low))}}", "dim"), (0, 1))
    yield Padding(Text(f"Jensen-Shannon distance {_values.distance(scores.distance)}"), (0, 1))


def _sparkline(counts: Sequence[int], blocks: str) -> str:
    highest = max(counts) or 1
    top = len(blocks) - 1
    return "".join(blocks[0 if not count else max(1, round(count / highest * top))] for count in counts)


def _labels(report: Report) -> Iterable[RenderableType]:
    labels = report.labels
    if not labels:
        return
    table = _table("Labels", ("label", "left"), ("primary", "right"), ("shadow", "right"))
    for each in labels.labels[:8]:
        table.add_row(
            Text(_values.visible(each.label or "(empty)", 60)), f"{each.primary:,}", f"{each.shadow:,}"
        )
    yield Text()
    yield table
    yield Padding(Text(f"Jensen-Shannon distance {_values.distance(labels.distance)}"), (0, 1))


def _errors(report: Report) -> Iterable[RenderableType]:
    if not report.errors:
        return
    table = _table(
        "Errors",
        ("stage", "left"),
        ("error", "left"),
        ("requests", "right"),
        ("share", "right"),
        ("example", "left"),
    )
    for stage in report.errors:
        for place, each in enumerate(stage.types):
            table.add_row(
                Text(_values.visible(stage.stage, 12) if place == 0 else ""),
                Text(_values.visible(each.error_type, 30)),
                f"{each.requests:,}",
                _values.percent(each.rate) if stage.counted else "not counted",
                Text(_values.visible(each.example, 36)),
            )
        if stage.other_types:
            table.add_row("", "(other types)", f"{stage.other_types:,}", "", "")
    yield Text()
    yield table


def _segment(segment: Segment) -> RenderableType:
    table = _table(
        f"By {_values.visible(segment.name, 60)}",
        ("value", "left"),
        ("requests", "right"),
        ("agreement", "right"),
        ("error rate", "right"),
        ("", "left"),
    )
    for group in [*segment.groups, *([segment.other] if segment.other else [])]:
        name = "(all others)" if group is segment.other else group.value or "(none)"
        table.add_row(
            Text(_values.visible(name, 50)),
            f"{group.requests:,}",
            _values.percent(group.agreement_rate),
            _values.percent(group.error_rate),
            Text("small" if group.is_small else "", "dim"),
        )
    return Padding(table, (1, 0, 0, 0))


def _disagreements(report: Report) -> Iterable[RenderableType]:
    if not report.largest_disagreements:
        return
    table = _table(
        "Largest disagreements",
        ("request", "left"),
        ("primary", "left"),
        ("shadow", "left"),
        ("difference", "right"),
    )
    for each in report.largest_disagreements:
        table.add_row(
            Text(_values.visible(each.request_id, 40)),
            Text(_values.visible(_values.prediction(each.primary), 40)),
            Text(_values.visible(_values.prediction(each.shadow), 40)),
            _values.number(each.difference),
        )
    yield Text()
    yield table
    yield Padding(Text(DISAGREEMENT_ORDER, "dim"), (0, 1))


def _notes(remarks: Sequence[str]) -> Iterable[RenderableType]:
    if remarks:
        yield Text()
        yield Text("To know", "bold")
        for remark in remarks:
            yield Padding(Text(f"• {remark}"), (0, 1))


def _table(title: str | None, *columns: tuple[str, str], header: bool = True) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD if header else None, show_edge=False, padding=(0, 1),
        show_header=header, header_style="dim",
        title=Text(title, "bold") if title else None, title_justify="left",
    )  # fmt: skip
    for name, justify in columns:
        right = justify == "right"
        table.add_column(name, justify="right" if right else "left", no_wrap=right, overflow="fold")
    return table
