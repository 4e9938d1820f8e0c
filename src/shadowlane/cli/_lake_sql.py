"""`shadowlane lake sql`: a query over the lake that can only read."""

from __future__ import annotations

import logging
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TextIO

import typer

from shadowlane.cli._evidence import printing
from shadowlane.cli._options import Config, Lake, settings
from shadowlane.errors import SettingsError

log = logging.getLogger(__name__)

_FIRST_ROWS = 100


class QueryForm(StrEnum):
    """How an answer is printed."""

    table = "table"
    json = "json"
    csv = "csv"


def sql(
    *,
    query: Annotated[str, typer.Argument(metavar="QUERY", help="The query; - reads it from stdin.")],
    form: Annotated[QueryForm, typer.Option("--format", help="How the rows are printed.")] = QueryForm.table,
    limit: Annotated[
        int | None,
        typer.Option(min=0, help="At most so many rows; 0: all.", show_default="100 in a table, else all"),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write to this file, all rows.")
    ] = None,
    memory: Annotated[str, typer.Option(metavar="SIZE", help="How much memory it may take.")] = "2GB",
    timeout_seconds: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Stop it after so long.", show_default="never")
    ] = None,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify/--no-verify",
            help="Read each file once before, to see that not a bit of it was altered.",
        ),
    ] = True,
    lake: Lake = None,
    config: Config = None,
) -> None:
    """Ask the lake, read-only: comparisons, errors, labels, ledger, requests, dead_letters, decisions.

    first_comparisons has each request once, latest_labels each label as it is known now. A query reads one
    version of each table; it reaches no other file, no network and no setting.

    Example: shadowlane lake sql "SELECT model, shadow, count(*) FROM first_comparisons GROUP BY ALL"
    """
    from shadowlane.lake import sql as asking  # noqa: PLC0415 - an extra brings it

    text = sys.stdin.buffer.read().decode("utf-8", "replace") if query == "-" else query
    given = settings(lake=lake, config=config)
    limits = asking.Limits(memory, timeout_seconds)
    if limit is None:
        limit = _FIRST_ROWS if form is QueryForm.table and output is None else 0
    with asking.open_query(given.lake, text, limits, verify=verify) as answer, printing(), _to(output) as out:
        for table, version in answer.versions.items():
            if version is None:
                log.warning("the lake %s has no table %s yet: nothing has landed there", given.lake, table)
        width = shutil.get_terminal_size().columns if out.isatty() else None
        rows, is_cut = asking.write(answer, asking.Form(form.value), out, limit=limit or None, width=width)
    if is_cut:
        log.warning("there are more than these %s rows: --limit 0 prints all", f"{rows:,}")


@contextmanager
def _to(output: Path | None) -> Iterator[TextIO]:
    """Standard output; or a file, which is there whole or not at all."""
    if output is None:
        yield sys.stdout
        return
    draft = output.with_name(f".{output.name}.{secrets.token_hex(4)}")
    try:
        with draft.open("w", encoding="utf-8", newline="") as file:
            yield file
        draft.replace(output)
    except OSError as error:
        raise SettingsError(f"{output} cannot be written: {error.strerror}") from error
    finally:
        draft.unlink(missing_ok=True)
