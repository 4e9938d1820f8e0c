"""`shadowlane gate`: whether the shadow may be promoted, printed and recorded."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from shadowlane.cli._evidence import End, PolicyFile, Start, Where, printing
from shadowlane.cli._options import Config, Format, Lake, Model, Run, Shadow, settings
from shadowlane.errors import LakeError, SettingsError, ShadowlaneError

if TYPE_CHECKING:
    from shadowlane.aggregator import GateResult
    from shadowlane.settings import Location


def gate(
    *,
    model: Model,
    shadow: Shadow,
    run: Run = "live",
    start: Start = None,
    end: End = None,
    where: Where = None,
    policy: PolicyFile = None,
    form: Annotated[Format, typer.Option("--format", help="How it is printed (not html).")] = Format.table,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the checks as a JUnit file besides.")
    ] = None,
    no_record: Annotated[
        bool,
        typer.Option("--no-record", help="Do not add the decision to the lake: for those who may only read."),
    ] = False,
    lake: Lake = None,
    config: Config = None,
) -> None:
    """Say whether the shadow may be promoted, and why; record it in the lake.

    Exit code: 0 promote, 1 hold, 3 inconclusive, 4 no data, 2 wrong usage, 5 damaged data. What fails in any
    other way is exit code 1 too.

    Example: shadowlane gate --model fraud --shadow boosting-2 --policy policy.toml --format json
    """
    from shadowlane.aggregator import Policy, Scope  # noqa: PLC0415 - an extra brings them
    from shadowlane.aggregator.gate import judge, new_id  # noqa: PLC0415 - the same

    if form not in (Format.table, Format.json, Format.markdown):
        raise SettingsError("the gate prints table, json or markdown; for a page, see: shadowlane report")
    place, now = settings(lake=lake, config=config).lake, datetime.now(UTC)
    scope = Scope(model, shadow, run, start, end, where)
    criteria = Policy.load(policy) if policy else Policy()
    result = judge(place, scope, criteria, now, id=None if no_record else new_id(now))
    there_is_none = all(version is None for version in result.table_versions.values())
    if there_is_none:
        result = replace(result, id=None)
    # What is decided is written down before it is told: a closed output loses no record.
    failed = _recorded(place, result) if result.id else None
    try:
        if junit:
            _write(junit, result)
    finally:
        _print(result, form)
    if failed:
        raise failed
    if result.id:
        typer.echo(f"recorded as decision {result.id}: shadowlane decisions explain {result.id}", err=True)
    elif there_is_none and not no_record:
        typer.echo(f"not recorded: there is no lake in {place}", err=True)
    raise typer.Exit(result.exit_code)


def _print(result: GateResult, form: Format) -> None:
    from shadowlane import aggregator  # noqa: PLC0415 - an extra brings it
    from shadowlane.aggregator.terminal import print_gate  # noqa: PLC0415 - the same

    with printing():
        if form is Format.table:
            print_gate(result, Console())
        else:
            write = aggregator.gate_to_json if form is Format.json else aggregator.gate_to_markdown
            typer.echo(write(result))


def _recorded(lake: str | Location, result: GateResult) -> LakeError | None:
    """Record it; what kept it from being recorded is said after the verdict."""
    from shadowlane.aggregator.gate import record  # noqa: PLC0415 - an extra brings it

    try:
        record(lake, result)
    except LakeError as error:
        failed = type(error)(
            f"the verdict above was not recorded, so nothing may rest on it: {error} "
            "(who may only read the lake asks with --no-record)"
        )
        failed.__cause__ = error
        return failed
    return None


def _write(path: Path, result: GateResult) -> None:
    from shadowlane.aggregator.gate import gate_to_junit  # noqa: PLC0415 - an extra brings it

    try:
        path.write_text(gate_to_junit(result), encoding="utf-8")
    except OSError as error:
        raise ShadowlaneError(f"cannot write {path}: {error.strerror}") from error
