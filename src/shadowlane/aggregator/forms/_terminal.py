"""The report and the gate's result on a terminal of 100 columns (needs `[cli]`).

Text from data is made visible and given as rich's `Text`, never as markup: no value can colour or
move anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from shadowlane.aggregator._error_groups import ErrorGroup
from shadowlane.aggregator.forms._errors import by_run
from shadowlane.aggregator.forms.content import Section, narrowed, sections
from shadowlane.aggregator.gate._gate import GateResult
from shadowlane.aggregator.report._report import Report
from shadowlane.errors import MissingExtraError
from shadowlane.visible import visible

try:
    from rich.console import Console, Group, RenderableType
    from rich.padding import Padding
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    from shadowlane.aggregator.forms import _terminal_bars as _bars
    from shadowlane.aggregator.forms import _terminal_tables as _tables
except ImportError as error:  # pragma: no cover - the base install is tested in an environment of its own
    raise MissingExtraError("cli", "The terminal page") from error

WIDTH = 100

_SENTENCE = 1_000
_VERDICTS = {
    "promote": ("PROMOTE", "green"),
    "hold": ("HOLD", "red"),
    "inconclusive": ("INCONCLUSIVE", "yellow"),
    "no_data": ("NO DATA", "yellow"),
}
_MARKS = {True: ("pass", "green"), False: ("FAIL", "bold red"), None: ("unknown", "yellow")}
_PICTURES = {"predictions": _bars.scores, "agreement": _bars.over_time}


def print_report(report: Report, console: Console, gate: GateResult | None = None) -> None:
    """Print the report, with what stands out and the verdict at its top where there is one."""
    _print(Group(*_page(report, console, gate)), console)


def _page(report: Report, console: Console, gate: GateResult | None) -> Iterable[RenderableType]:
    width, blocks = _width(console), _bars.blocks_of(console.encoding)
    yield Text.assemble(
        ("shadowlane report  ", "dim"),
        (visible(report.scope.model), "bold cyan"), "  →  ", (visible(report.scope.shadow), "bold magenta"),
        (f"   run {visible(report.scope.run)}", "dim"),
    )  # fmt: skip
    for section in sections(report):
        if section.key == "totals" and gate:
            yield Text()
            yield _verdict(gate)
        yield Text()
        yield from _section(section, width)
        drawn = [*_PICTURES[section.key](report, blocks)] if section.key in _PICTURES else []
        yield from [Text(), *drawn] if drawn else []


def _section(section: Section, width: int) -> Iterable[RenderableType]:
    heading = Text(section.title, "bold underline")
    yield heading
    bullet = "• " if section.key == "notes" else ""
    for sentence in section.lead:
        yield Padding(Text(f"{bullet}{sentence}", "" if bullet else "dim"), (0, 1))
    for place, table in enumerate(each for each in section.tables if not each.behind):
        if place or (table.title and section.lead):
            yield Text()
        yield from _tables.fitted(table, width)


def print_gate(result: GateResult, console: Console) -> None:
    """Print the verdict and its checks."""
    _print(Group(_verdict(result), *_notes([*narrowed(result.report_summary), *result.notes])), console)


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
    table.add_column(overflow="fold", max_width=40)
    table.add_column(ratio=1)
    for check in gate.checks:
        name, why = visible(check.name), visible(check.why, _SENTENCE)
        table.add_row(Text(*_MARKS[check.passed]), Text(name, "bold"), Text(why))
    reason = Text(f"{visible(gate.reason, _SENTENCE)}\n", style="bold")
    return Panel(Group(reason, table), title=Text(f" {word} ", f"bold reverse {colour}"), border_style=colour)


def _notes(remarks: Sequence[str]) -> Iterable[RenderableType]:
    if remarks:
        yield Text()
        yield Text("To know", "bold")
        for remark in remarks:
            yield Padding(Text(f"• {visible(remark, _SENTENCE)}"), (0, 1))
