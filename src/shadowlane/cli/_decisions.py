"""`shadowlane decisions`: what the gate said, on what grounds, and whether it comes out again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from shadowlane.cli._evidence import printing
from shadowlane.cli._options import Config, Form, Lake, settings
from shadowlane.visible import visible

if TYPE_CHECKING:
    from shadowlane.aggregator.gate import Decision

app = typer.Typer(
    help="See what the gate decided and on what grounds, check it, set it aside.", no_args_is_help=True
)

_DIFFERS, _GONE = 1, 3

Id = Annotated[str, typer.Argument(metavar="ID", help="The decision's id.")]
How = Annotated[Form, typer.Option("--format", help="How it is printed.")]


class Chosen(StrEnum):
    """What a person may decide."""

    promote = "promote"
    hold = "hold"


@app.command("list")
def show(
    *,
    model: Annotated[str | None, typer.Option(help="Only this model's.", show_default="all")] = None,
    shadow: Annotated[str | None, typer.Option(help="Only this shadow's.", show_default="all")] = None,
    limit: Annotated[int, typer.Option(min=1, help="So many at most, the newest.")] = 20,
    form: How = Form.table,
    lake: Lake = None,
    config: Config = None,
) -> None:
    """List the decisions, the newest first.

    Example: shadowlane decisions list --model fraud --shadow boosting-2
    """
    from shadowlane.aggregator.gate import decisions  # noqa: PLC0415 - an extra brings it

    every = decisions(settings(lake=lake, config=config).lake, model=model, shadow=shadow)
    later = {each.overrides: each.id for each in reversed(every) if each.overrides}
    with printing():
        if form is Form.json:
            found = [_values(each, later) for each in every[:limit]]
            typer.echo(json.dumps({"schema": "shadowlane.decisions/1", "decisions": found}, indent=2))
        elif not every:
            typer.echo("no decisions")
        else:
            Console(soft_wrap=True).print(_table(every[:limit], later))


@app.command("explain")
def explain(*, decision: Id, form: How = Form.table, lake: Lake = None, config: Config = None) -> None:
    """Tell in sentences what was decided and on what grounds; or, as JSON, the record as it was written.

    Example: shadowlane decisions explain 0deqk3v8m4x2a
    """
    from shadowlane.aggregator import gate  # noqa: PLC0415 - an extra brings it

    place = settings(lake=lake, config=config).lake
    found = gate.find(place, decision)
    with printing():
        if form is Form.json:
            typer.echo(found.record, nl=False)
        else:
            typer.echo("\n\n".join(gate.explain(found, gate.decisions(place, model=found.model))))


@app.command("verify")
def verify(*, decision: Id, form: How = Form.table, lake: Lake = None, config: Config = None) -> None:
    """Make a decision again from the same versions of the lake's tables, to the same bytes.

    Exit code: 0 it comes out again, 1 it does not, 3 the lake no longer has these versions, 5 damaged data.

    Example: shadowlane decisions verify 0deqk3v8m4x2a
    """
    from shadowlane.aggregator import gate  # noqa: PLC0415 - an extra brings it
    from shadowlane.lake import VersionGoneError  # noqa: PLC0415 - the same

    place = settings(lake=lake, config=config).lake
    found = gate.find(place, decision)
    try:
        made = gate.verify(place, found)
    except VersionGoneError as error:
        typer.echo(f"shadowlane: decision {found.id} cannot be verified any more: {error}", err=True)
        raise typer.Exit(_GONE) from error
    with printing():
        if form is Form.json:
            said = {"schema": "shadowlane.verification/1", "id": found.id, "holds": made.holds}
            typer.echo(json.dumps(said | {"faults": made.faults, "notes": made.notes}, indent=2))
        else:
            typer.echo("\n".join(_verified(found, made.faults, made.notes)))
    raise typer.Exit(0 if made.holds else _DIFFERS)


@app.command("override")
def override(
    *,
    decision: Id,
    verdict: Annotated[Chosen, typer.Option(help="What is decided in its place.")],
    reason: Annotated[str, typer.Option(help="Why; it is kept.")],
    by: Annotated[str, typer.Option(metavar="NAME", help="Who decides; it is kept.")],
    lake: Lake = None,
    config: Config = None,
) -> None:
    """Set a decision aside, with a reason and a name: that is recorded as a decision of its own.

    Example: shadowlane decisions override 0deqk3v8m4x2a --verdict hold --by ada --reason "launch freeze"
    """
    from shadowlane.aggregator import gate  # noqa: PLC0415 - an extra brings it

    place = settings(lake=lake, config=config).lake
    chosen: Literal["promote", "hold"] = "promote" if verdict is Chosen.promote else "hold"
    found = gate.find(place, decision)
    made = gate.override(place, found, chosen, reason=reason, by=by, now=datetime.now(UTC))
    with printing():
        typer.echo(f"{made.id}: {chosen} in place of {found.verdict} ({found.id})")


def _values(decision: Decision, later: Mapping[str, str]) -> dict[str, Any]:
    return {
        "id": decision.id,
        "decided_at": decision.decided_at.isoformat().replace("+00:00", "Z"),
        "kind": decision.kind,
        "model": decision.model,
        "shadow": decision.shadow,
        "run": decision.run,
        "verdict": decision.verdict,
        "promote": decision.verdict == "promote",
        "reason": decision.reason,
        "decided_by": decision.decided_by,
        "overrides": decision.overrides,
        "overridden_by": later.get(decision.id),
        "policy_digest": decision.policy_digest,
        "software_version": decision.software_version,
    }


def _table(every: Sequence[Decision], later: Mapping[str, str]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("decision", "decided (UTC)", "of", "verdict"):
        table.add_column(name, no_wrap=True)
    table.add_column("why", overflow="fold")
    for each in every:
        run = "" if each.run == "live" else f" ({visible(each.run, 30)})"
        why = each.reason
        if each.kind == "override":
            why = f"overrides {each.overrides}, by {each.decided_by}: {why}"
        if each.id in later:
            why = f"[overridden by {later[each.id]}] {why}"
        cells = (
            each.id,
            f"{each.decided_at:%Y-%m-%d %H:%M}",
            f"{visible(each.model, 30)} → {visible(each.shadow, 30)}{run}",
            each.verdict,
            visible(why),
        )
        table.add_row(*map(Text, cells))
    return table


def _verified(found: Decision, faults: Sequence[str], notes: Sequence[str]) -> list[str]:
    if faults:
        return [f"decision {found.id} does not hold: {' '.join(faults)}", *notes]
    size = len(found.record.encode())
    again = "what it overrides comes out again" if found.kind == "override" else "it comes out again"
    return [
        f"decision {found.id} ({found.verdict}) holds: {again}, byte for byte",
        f"{size:,} bytes, sha256 {found.record_sha256}",
        *notes,
    ]
