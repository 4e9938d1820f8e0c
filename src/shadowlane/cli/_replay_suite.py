"""`shadowlane replay --suite`: a model on a regression suite, and what it does not answer as expected."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from shadowlane.cli._options import Form
from shadowlane.process import stopped_by_signals
from shadowlane.visible import visible

if TYPE_CHECKING:
    from shadowlane.replay_worker import WorkerPlan
    from shadowlane.replay_worker.suite import Answer, SuiteResult

_NOT_AS_EXPECTED, _INTERRUPTED = 1, 130
_SHOWN = 20


def replay_suite(plan: WorkerPlan, path: Path, form: Form) -> NoReturn:
    """Run it, print what came of it, and end with the exit code that a CI job reads."""
    from shadowlane.replay_worker.suite import run_suite  # noqa: PLC0415 - its packages come with an extra

    with stopped_by_signals() as stop:
        result = run_suite(plan, path, stop=stop)
    if form is Form.json:
        typer.echo(json.dumps(result.to_dict(), indent=2))
    else:
        _print(result, path)
    if result.interrupted:
        raise typer.Exit(_INTERRUPTED)
    raise typer.Exit(0 if result.passed else _NOT_AS_EXPECTED)


def _print(result: SuiteResult, path: Path) -> None:
    count = result.count
    ignored = f", {count('ignored'):,} ignored by a rule" if count("ignored") else ""
    typer.echo(f"    suite  {visible(str(path))}: {result.model} on {result.shadow}")
    typer.echo(
        f" requests  {len(result.answers):,}: {count('agrees'):,} as expected, "
        f"{count('disagrees'):,} not, {count('failed'):,} failed{ignored}"
    )
    unlike = [each for each in result.answers if each.came in ("disagrees", "failed")]
    for each in unlike[:_SHOWN]:
        typer.echo(f"           {_said(each)}")
    if len(unlike) > _SHOWN:
        typer.echo(f"           … and {len(unlike) - _SHOWN:,} more: --format json lists all")
    state = "interrupted" if result.interrupted else "passed" if result.passed else "not passed"
    typer.echo(f"   result  {state}")


def _said(answer: Answer) -> str:
    if answer.error is not None:
        came = visible(answer.error)
    elif answer.difference is not None:
        came = f"{answer.difference:.6g} from the {answer.expected_from}'s"
    else:
        came = f"another answer than the {answer.expected_from}'s"
    return f"{visible(answer.request_id, 40)}: {came} ({visible(answer.why)})"
