"""`shadowlane lake status`: how the lake stands."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from shadowlane.cli._evidence import printing
from shadowlane.cli._lake_lag import Lag, lags
from shadowlane.cli._lake_tables import How, OnlyModel, Tables, ago, count, grid, megabytes, specs
from shadowlane.cli._options import BootstrapServers, Config, Form, Lake, settings

if TYPE_CHECKING:
    from shadowlane.lake.care import Deep, Gaps, TableStatus

#: What a gigabyte takes in a month in the standard class of the large object stores, as they list it.
_PRICE = 0.023
_KEPT = (30, 90, 365)
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Cost:
    """What it takes to keep so many days."""

    days: int
    bytes: float
    a_month: float


def status(
    *,
    table: Tables = None,
    model: OnlyModel = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Read the rows, too: gaps, duplicates and reasons of dead letters.")
    ] = False,
    price_gb_month: Annotated[
        float, typer.Option(min=0, metavar="PRICE", help="What a gigabyte costs in a month.")
    ] = _PRICE,
    form: How = Form.table,
    bootstrap_servers: BootstrapServers = None,
    lake: Lake = None,
    config: Config = None,
) -> None:
    """Say how the lake stands: rows, files, freshness, positions, and what a day costs.

    It reads the tables' logs and nothing else, unless --deep is given. Where Kafka is named
    (--bootstrap-servers), it says how far each partition is behind.

    Example: shadowlane lake status --bootstrap-servers localhost:9092
    """
    from shadowlane.lake import care  # noqa: PLC0415 - an extra brings it

    given = settings(bootstrap_servers, lake, config)
    chosen = specs(table)
    found = care.status(given.lake, chosen, model=model)
    below = care.look_deep(given.lake, chosen, model=model) if deep else None
    behind = None
    if bootstrap_servers is not None:
        behind = lags(given.kafka, [position for each in found for position in _own(each)])
    costs = _costs(found, price_gb_month)
    with printing():
        if form is Form.json:
            typer.echo(_to_json(str(given.lake), found, behind, below, costs))
        else:
            _print(found, behind, below, costs, price_gb_month)


def _own(status: TableStatus) -> Sequence[Any]:
    """Its positions; those of the dead letters only say how far they were kept."""
    return () if status.table == "dead_letters" else status.positions


def _costs(found: Iterable[TableStatus], price: float) -> list[Cost]:
    a_day = sum(each.growth.bytes_a_day for each in found if each.growth is not None)
    return [Cost(days, a_day * days, a_day * days / 1e9 * price) for days in _KEPT]


def _to_json(
    lake: str,
    found: Iterable[TableStatus],
    behind: Sequence[Lag] | None,
    below: Deep | None,
    costs: Iterable[Cost],
) -> str:
    document = {
        "schema": "shadowlane.lake-status/1",
        "lake": lake,
        "at": datetime.now(UTC),
        "tables": [asdict(each) for each in found],
        "cost": [asdict(each) for each in costs],
        "kafka": None if behind is None else [_lag_values(each) for each in behind],
        "deep": None if below is None else asdict(below),
    }
    return json.dumps(document, indent=2, default=_plain)


def _plain(value: Any) -> str:
    return str(value.isoformat())


def _lag_values(lag: Lag) -> dict[str, Any]:
    own = {each.name: getattr(lag, each.name) for each in fields(lag)}
    return own | {"behind": lag.behind, "lost": lag.lost, "ahead": lag.is_ahead}


def _print(
    found: Sequence[TableStatus],
    behind: Sequence[Lag] | None,
    below: Deep | None,
    costs: Sequence[Cost],
    price: float,
) -> None:
    console = Console(highlight=False, markup=False)
    console.print(_overview(found))
    for each in found:
        if len(each.models) > 1 or any(one.model for one in each.models):
            console.print(_models(each))
    parts = [_files(found), _positions(found) if behind is None else _lags(behind)]
    parts += [_growth(found, costs, price), _logs(found)]
    parts += [] if below is None else _deep(below)
    for part in parts:
        if part is not None:
            console.print(part)


def _overview(found: Iterable[TableStatus]) -> Any:
    rows = [
        (
            each.table,
            count(each.holding.rows),
            count(each.holding.files),
            megabytes(each.holding.bytes),
            _a_row(each.holding.bytes_a_row),
            ago(each.holding.newest_event),
            ago(each.newest_commit),
        )
        for each in found
    ]
    head = ("table", "rows", "files", "MB", "bytes a row", "newest event", "committed")
    return grid("Tables", head, rows)


def _a_row(size: float | None) -> str:
    return "—" if size is None else f"{size:,.0f}"


def _models(status: TableStatus) -> Any:
    rows = [
        (
            each.model or "(unknown)",
            count(each.holding.rows),
            count(each.holding.files),
            megabytes(each.holding.bytes),
            _a_row(each.holding.bytes_a_row),
            f"{each.holding.first_day or '—'}",
            f"{each.holding.last_day or '—'}",
        )
        for each in status.models
    ]
    head = ("model", "rows", "files", "MB", "bytes a row", "from", "to")
    return grid(f"{status.table} by model", head, rows)


def _files(found: Iterable[TableStatus]) -> Any:
    rows = [
        (each.table, count(each.holding.small_files), count(each.joinable_files), count(each.joined_files))
        for each in found
        if each.joinable_files
    ]
    title = "Small files, which shadowlane lake compact would join"
    return grid(title, ("table", "small", "to join", "into"), rows) if rows else None


def _positions(found: Iterable[TableStatus]) -> Any:
    rows = [
        (each.topic, count(each.partition), count(each.next_offset))
        for status in found
        for each in _own(status)
    ]
    return grid("Landed, by partition", ("topic", "partition", "next offset"), rows) if rows else None


def _lags(behind: Iterable[Lag]) -> Any:
    rows = [
        (each.topic, count(each.partition), count(each.next_offset), count(each.end), _said(each))
        for each in behind
    ]
    head = ("topic", "partition", "next offset", "Kafka's end", "behind")
    return grid("Landed, by partition; transaction markers count as offsets", head, rows)


def _said(lag: Lag) -> str:
    if lag.is_ahead:
        return "another topic?"
    if lag.lost:
        return f"{count(lag.behind)}, {count(lag.lost)} of them lost"
    return count(lag.behind)


def _growth(found: Iterable[TableStatus], costs: Iterable[Cost], price: float) -> Any:
    rows = [
        (
            each.table,
            f"{each.growth.rows_a_day:,.0f}",
            megabytes(each.growth.bytes_a_day),
            *(megabytes(each.growth.bytes_a_day * days) for days in _KEPT),
        )
        for each in found
        if each.growth is not None
    ]
    if not rows:
        return None
    rows.append(("cost a month", "", "", *(f"{each.a_month:,.2f}" for each in costs)))
    kept = [f"MB in {days} days" for days in _KEPT]
    return grid(
        f"A day, as the last seven were; a GB costs {price:g} a month", ("table", "rows", "MB", *kept), rows
    )


def _logs(found: Iterable[TableStatus]) -> Any:
    rows = [
        (
            each.table,
            count(each.log.version),
            count(each.log.checkpoint),
            count(each.log.entries),
            megabytes(each.log.bytes),
        )
        for each in found
    ]
    return grid("Logs", ("table", "version", "checkpoint", "files", "MB"), rows)


def _deep(below: Deep) -> list[Any]:
    landed = [(each.table, count(each.partition), *_gaps(each.gaps)) for each in below.landed]
    sources = [
        (
            f"{each.model or '(unknown)'} on {each.shadow}, {each.run}",
            count(each.partition),
            *_gaps(each.gaps),
        )
        for each in below.sources
    ]
    letters = [
        (each.topic, each.error_type, count(each.messages), ago(each.newest)) for each in below.dead_letters
    ]
    doubled = [(each.model or "(unknown)", count(each.repeated)) for each in below.duplicates]
    head = ("partition", "present", "gaps", "missing", "longest", "at offset")
    return [
        grid("Landed offsets; a gap of one is the end of a transaction", ("table", *head), landed[:_SHOWN]),
        grid("Requests with neither comparison nor error (other models' among them)",
             ("replayed", *head), sources[:_SHOWN]),
        grid("Comparisons that repeat another's identity", ("model", "repeated"), doubled),
        grid("Dead letters", ("topic", "reason", "messages", "newest"), letters[:_SHOWN]),
    ]  # fmt: skip


def _gaps(gaps: Gaps) -> tuple[str, ...]:
    numbers = gaps.present, gaps.gaps, gaps.missing, gaps.longest, gaps.longest_at
    return tuple(map(count, numbers))
