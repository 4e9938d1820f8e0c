"""The report and the gate's result on a terminal of 100 columns (needs `[cli]`).

Text from data is made visible and given as rich's `Text`, never as markup: no value can colour or
move anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from shadowlane.aggregator._error_groups import ErrorGroup
from shadowlane.aggregator.forms._errors import by_run
from shadowlane.aggregator.gate._gate import GateResult
from shadowlane.aggregator.report import _values
from shadowlane.aggregator.report._notes import notes
from shadowlane.aggregator.report._report import Report
from shadowlane.aggregator.report.figures import Ledger
from shadowlane.errors import MissingExtraError

try:
    from rich.console import Console, Group, RenderableType
    from rich.padding import Padding
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    from shadowlane.aggregator.forms import _terminal_tables as _tables
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
        *_tables.latencies(report),
        *_tables.scores(report, console.encoding),
        *_tables.labels(report),
        *_tables.errors(report),
    ]
    parts += [_tables.segment(segment) for segment in report.segments]
    parts += _tables.disagreements(report, _width(console))
    parts += _notes(notes(report))
    _print(Group(*parts), console)


def print_gate(result: GateResult, console: Console) -> None:
    """Print the verdict and its checks."""
    _print(Group(_verdict(result), *_notes(result.notes)), console)


def print_errors(groups: Sequence[ErrorGroup], console: Console) -> None:
    """Print the groups of errors, a table for each shadow and run."""
    if not groups:
        _print(Text("no errors"), console)
        return
    parts = (part for title, each in by_run(groups) for part in (_tables.error_groups(title, each), Text()))
    _print(Group(*parts), console)


def _width(console: Console) -> int:
    return min(console.width, WIDTH)


def _print(page: RenderableType, console: Console) -> None:
    if console.is_terminal:
        console.print(page, width=_width(console))
        return
    # A file or pipe gets no spaces at the ends of lines: they are noise to diff, grep and copy.
    with console.capture() as captured:
        console.print(page, width=_width(console))
    console.file.writelines(f"{line.rstrip()}\n" for line in captured.get().rstrip("\n").split("\n"))
    console.file.flush()


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
    table = _tables.new_table(None, ("", "left"), ("", "left"), header=False)
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


def _notes(remarks: Sequence[str]) -> Iterable[RenderableType]:
    if remarks:
        yield Text()
        yield Text("To know", "bold")
        for remark in remarks:
            yield Padding(Text(f"• {remark}"), (0, 1))
