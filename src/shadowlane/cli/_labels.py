"""`shadowlane labels`: what turned out to be true, from files into the lake, and how much is known."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import date, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from shadowlane.cli._evidence import printing
from shadowlane.cli._lake import Meter
from shadowlane.cli._options import Config, Form, Lake, settings
from shadowlane.errors import SettingsError
from shadowlane.process import stopped_by_signals
from shadowlane.visible import visible

if TYPE_CHECKING:
    from shadowlane.aggregator.labels import Imported, LabelsStatus, NamedLabels

app = typer.Typer(
    help="Land what turned out to be true, and see how much of it is known.", no_args_is_help=True
)

_INTERRUPTED = 130
_DAYS_SHOWN = 7
_NAMES_SHOWN = 8
_LONGEST_NAME = 40
_WHAT, _ROWS = "What its columns say", "What its rows are"
_UNITS = (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0), ("s", 1.0))


class Kind(StrEnum):
    """What labels are."""

    auto = "auto"
    score = "score"
    label = "label"
    vector = "vector"
    ranking = "ranking"


class Empty(StrEnum):
    """What a row without a label is."""

    error = "error"
    skip = "skip"
    withdraw = "withdraw"


class Epoch(StrEnum):
    """The unit of a time that is a number."""

    s = "s"
    ms = "ms"
    us = "us"


def _zoned(text: str) -> datetime:
    """A time that names its zone: labels are dated by it."""
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise typer.BadParameter(f"{text!r} is no time with a zone; write 2026-03-01T14:30:00Z or …+02:00")
    return found


@app.command("import")
def import_file(
    *,
    file: Annotated[
        str,
        typer.Argument(help="CSV, JSON lines or Parquet; gzip and zstd are unpacked. - is standard input."),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            help="The model that all rows are about.",
            show_default="see --model-column",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    model_column: Annotated[
        str | None,
        typer.Option(help="The column with the model.", show_default="model", rich_help_panel=_WHAT),
    ] = None,
    request_id_column: Annotated[
        str, typer.Option(help="The column with the request's id.", rich_help_panel=_WHAT)
    ] = "request_id",
    label_column: Annotated[
        str, typer.Option(help="The column with the outcome.", rich_help_panel=_WHAT)
    ] = "label",
    observed_at_column: Annotated[
        str | None,
        typer.Option(
            help="The column with the time at which it was known.",
            show_default="observed_at",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    observed_at: Annotated[
        datetime | None,
        typer.Option(
            parser=_zoned,
            metavar="TIME",
            help="The time at which all rows were known, with a zone.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    name: Annotated[
        str, typer.Option(help="Which outcome all rows are: label, revenue, click.", rich_help_panel=_WHAT)
    ] = "label",
    name_column: Annotated[
        str | None, typer.Option(help="The column that says which outcome it is.", rich_help_panel=_WHAT)
    ] = None,
    source: Annotated[str, typer.Option(help="Who says so.", rich_help_panel=_WHAT)] = "import",
    kind: Annotated[
        Kind,
        typer.Option(
            "--as",
            help="What the labels are. auto: by name, a score where all are numbers and one is no integer; "
            "lists by what is in them; else labels.",
            rich_help_panel=_ROWS,
        ),
    ] = Kind.auto,
    timezone: Annotated[
        str | None,
        typer.Option(
            help="The zone of times that name none: UTC, Europe/Berlin.",
            show_default="such times are refused",
            rich_help_panel=_ROWS,
        ),
    ] = None,
    epoch: Annotated[
        Epoch | None,
        typer.Option(
            help="The unit of times that are numbers since 1970.",
            show_default="such times are refused",
            rich_help_panel=_ROWS,
        ),
    ] = None,
    empty: Annotated[
        Empty,
        typer.Option(
            help="A row without a label is bad, is left out, or takes the label back.", rich_help_panel=_ROWS
        ),
    ] = Empty.error,
    delimiter: Annotated[
        str, typer.Option(help="What stands between the cells of a CSV file.", rich_help_panel=_ROWS)
    ] = ",",
    skip_bad: Annotated[
        bool,
        typer.Option("--skip-bad", help="Land the good rows of a file with bad ones.", rich_help_panel=_ROWS),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the file, and land nothing.")] = False,
    form: Annotated[Form, typer.Option("--format", help="How the result is printed.")] = Form.table,
    lake: Lake = None,
    config: Config = None,
) -> None:
    """Land a file of labels in the lake, each row exactly once.

    All rows are checked first: of a file with bad ones nothing lands, unless --skip-bad.

    Interrupted by whatever, the same command goes on where it was; run again, it adds nothing.

    Exit code: 0 done, 130 interrupted, 2 wrong usage, 1 anything else.

    Example: shadowlane labels import labels.csv --model fraud --request-id-column id --timezone UTC
    """
    from shadowlane.aggregator import labels as it  # noqa: PLC0415 - an extra brings it

    mapping = it.LabelMapping(
        request_id_column=request_id_column,
        label_column=label_column,
        observed_at_column=observed_at_column,
        observed_at=observed_at,
        model_column=model_column,
        model=model,
        name_column=name_column,
        name=name,
        kind=kind.value,
        empty=empty.value,
        timezone=timezone,
        epoch=epoch and epoch.value,
        source=source,
        delimiter="\t" if delimiter == "\\t" else delimiter,
    )
    plan = it.ImportPlan(file, settings(lake=lake, config=config).lake, mapping, skip_bad, dry_run)
    with stopped_by_signals() as stop, Meter("") as meter:
        done = it.import_labels(plan, stop=stop, follow=meter.follow)
    with printing():
        typer.echo(_document("labels-import", asdict(done)) if form is Form.json else "\n".join(_lines(done)))
    if done.left:
        raise typer.Exit(_INTERRUPTED)


@app.command()
def status(
    *,
    model: Annotated[str | None, typer.Option(help="Only this model's.", show_default="all")] = None,
    shadow: Annotated[
        str | None, typer.Option(help="Compared means: with this shadow.", show_default="any")
    ] = None,
    form: Annotated[Form, typer.Option("--format", help="How it is printed.")] = Form.table,
    lake: Lake = None,
    config: Config = None,
) -> None:
    """Say what the lake knows of its labels: how many, how late, and of how many compared requests.

    Example: shadowlane labels status --model fraud --shadow boosting-2
    """
    from shadowlane.aggregator.labels import labels_status  # noqa: PLC0415 - an extra brings it

    if shadow and not model:
        raise SettingsError("--shadow is a model's shadow: say which with --model")
    place = settings(lake=lake, config=config).lake
    found = labels_status(place, model, shadow)
    with printing():
        if form is Form.json:
            typer.echo(_document("labels-status", {"models": [_status_fields(each) for each in found]}))
        elif not any(each.names for each in found):
            typer.echo(f"no labels of {model} in {place}" if model else f"no labels in {place}")
        else:
            console = Console(highlight=False)
            for each in found:
                _print(each, console)


def _document(name: str, fields: Mapping[str, Any]) -> str:
    return json.dumps({"schema": f"shadowlane.{name}/1", **fields}, indent=2, default=str)


def _lines(done: Imported) -> Iterator[str]:
    """What became of the rows, in words; what is none is left out."""
    from shadowlane.aggregator.labels import fault_text  # noqa: PLC0415 - an extra brings it

    kinds = [f"{visible(name, _LONGEST_NAME)} ({kind})" for name, kind in done.kinds.items()]
    named = ", ".join(kinds[:_NAMES_SHOWN]) + (", …" if len(kinds) > _NAMES_SHOWN else "")
    yield f"{done.rows:>11,} rows in {done.file}" + (f": {named}" if named else "")
    said = [
        (done.landed, "would land" if done.dry_run else "landed"),
        (done.already_there, "there already, from an import of the same file"),
        (done.left, "to go: the same command goes on"),
        (done.empty, "without a label, left out"),
        (done.bad, "bad, left out"),
        (done.duplicates, "say again what another row says"),
        (done.corrections, "correct another row; the latest counts"),
        (done.unknown_ids or 0, "requests that the lake does not know (yet)"),
    ]
    for count, words in said:
        if count or words in ("landed", "would land"):
            yield f"{count:>11,} {words}"
        if count and words.startswith("bad"):
            yield from (f"{'':12}{fault_text(fault, done.place)}" for fault in done.faults)


def _status_fields(found: LabelsStatus) -> dict[str, Any]:
    fields = asdict(found)
    for name, each in zip(fields["names"], found.names, strict=True):
        name["coverage"] = each.covered / found.compared if found.compared else None
    return fields


def _print(found: LabelsStatus, console: Console) -> None:
    shadow = f" → {found.shadow}" if found.shadow else ""
    console.print(Text(f"{found.model}{shadow}", "bold"))
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for each in found.names:
        for place, line in enumerate(_said(each, found.compared)):
            table.add_row("" if place else _shown(each.name), line)
    console.print(table)
    days = sorted({day.day for each in found.names for day in each.days if day.day})[-_DAYS_SHOWN:]
    if days:
        console.print(_by_day(found, days))


def _said(each: NamedLabels, compared: int) -> Iterator[str]:
    """What is known of one name's labels; what is none is left out."""
    covered = f"{each.covered:,} of {compared:,} compared requests have a label"
    yield f"{covered}: {_share(each.covered, compared)}" if compared else "no request was compared yet"
    yield f"requests with a label: {each.requests:,}, of {each.rows:,} rows"
    counts = [
        (each.duplicates, "said again (duplicates)"),
        (each.corrections, "corrected"),
        (each.withdrawn, "taken back"),
        (each.unknown_ids, "of requests that the lake does not know (yet)"),
        (each.before_request, "observed before their request"),
    ]
    yield from (f"{words}: {count:,}" for count, words in counts if count)
    if each.lateness:
        late = each.lateness
        spans = map(_span, (late.p50_seconds, late.p90_seconds, late.max_seconds))
        yield "observed after the request: p50 {}, p90 {}, at most {}".format(*spans)


def _by_day(found: LabelsStatus, days: Sequence[date]) -> Table:
    compared = {day.day: day.compared for each in found.names for day in each.days}
    shares = {
        (each.name, day.day): _share(day.labelled, day.compared) for each in found.names for day in each.days
    }
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for place, head in enumerate(("day", "compared", *(_shown(each.name) for each in found.names))):
        table.add_column(head, justify="right" if place else "left")
    for day in days:
        table.add_row(str(day), f"{compared[day]:,}", *(shares[each.name, day] for each in found.names))
    return table


def _shown(name: str) -> str:
    """A name from the data, with nothing in it that would act on a terminal."""
    return escape(visible(name, _LONGEST_NAME))


def _share(part: int, whole: int) -> str:
    """What is not all is never written as 100 %."""
    if not whole:
        return "—"
    share = min(part / whole, 0.9999) if part < whole else 1.0
    return f"{share:.2%}".replace("%", " %").replace(".00 ", " ")


def _span(seconds: float) -> str:
    """3.2 h; in the largest unit that it is one of."""
    unit, size = next(((unit, size) for unit, size in _UNITS if abs(seconds) >= size), _UNITS[-1])
    return f"{seconds / size:,.1f} {unit}"
