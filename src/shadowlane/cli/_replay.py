"""`shadowlane replay`: the requests of a window of time on the shadow, once."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shadowlane.cli._comparing_options import ComparingOptions
from shadowlane.cli._control_options import ControlOptions, PrimaryOptions
from shadowlane.cli._fetch_options import FetchOptions
from shadowlane.cli._groups import with_options
from shadowlane.cli._isolation_options import IsolationOptions
from shadowlane.cli._meter import Meter
from shadowlane.cli._model_options import ModelOptions
from shadowlane.cli._options import BootstrapServers, Config, Form, Lake, Source, settings
from shadowlane.cli._replay_suite import replay_suite
from shadowlane.cli._shadow import ShadowOptions
from shadowlane.errors import SettingsError
from shadowlane.process import stopped_by_signals

if TYPE_CHECKING:
    from shadowlane.replay_worker import window as it

_INTERRUPTED = 130
_WINDOW = "The window"
_HINT = "the lake's archive may hold what Kafka has deleted: --source lake, with another --run"
_MOST_DAYS = 14
_MOMENT = timedelta(microseconds=1)


@with_options(
    shadow=ShadowOptions,
    loading=ModelOptions,
    fetching=FetchOptions,
    isolation=IsolationOptions,
    comparing=ComparingOptions,
    primary=PrimaryOptions,
    control=ControlOptions,
)
def replay(
    *,
    shadow: ShadowOptions,
    loading: ModelOptions,
    fetching: FetchOptions,
    isolation: IsolationOptions,
    comparing: ComparingOptions,
    primary: PrimaryOptions,
    control: ControlOptions,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="TIME",
            help="Requests from here on: a time (2026-03-01T14:30, UTC or with a zone), a distance from now "
            "(-7d, -1d12h), or offsets (@1200 in each partition, @0:100,1:250).",
            show_default="required, but with --suite",
            rich_help_panel=_WINDOW,
        ),
    ] = None,
    end: Annotated[
        str,
        typer.Option(
            "--to", metavar="TIME", help="Requests before this: the same, or now.", rich_help_panel=_WINDOW
        ),
    ] = "now",
    run: Annotated[
        str | None,
        typer.Option(
            help="The run's name: the same name goes on where it was interrupted.",
            show_default="made from the window",
            rich_help_panel=_WINDOW,
        ),
    ] = None,
    margin: Annotated[
        str,
        typer.Option(
            help="How much later than its event time a request may have come to Kafka.",
            rich_help_panel=_WINDOW,
        ),
    ] = "10m",
    source: Annotated[
        Source,
        typer.Option(
            help="Where the requests are read: in Kafka; in the lake's archive (shadowlane aggregate "
            "--archive-requests), which holds older ones; or there only if Kafka no longer holds them all "
            "(auto).",
            rich_help_panel=_WINDOW,
        ),
    ] = Source.kafka,
    speed: Annotated[
        str,
        typer.Option(
            help="max, original, 10x (ten times the original pace) or 500/s.", rich_help_panel=_WINDOW
        ),
    ] = "max",
    processes: Annotated[int, typer.Option(min=1, metavar="N", help="Worker processes on this machine.")] = 1,
    suite: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="In place of a window: the requests of a regression suite (shadowlane report "
            "--export-suite), without Kafka. Exit code 1 where one is not answered as expected.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would take; nothing is written to Kafka.")
    ] = False,
    form: Annotated[Form, typer.Option("--format", help="How the result is printed.")] = Form.table,
    bootstrap_servers: BootstrapServers = None,
    lake: Lake = None,
    config: Config = None,
) -> None:
    """Replay the requests of a window on the shadow, as a run of its own; live work is not touched.

    Ends by itself. Interrupted by whatever, the same command goes on where it was.

    Exit code: 0 done, 130 interrupted, 2 wrong usage, 1 anything else (with --suite: not as expected).

    Examples:
    shadowlane replay --model fraud --shadow boosting-2 --load python:models:predict --from -7d

    shadowlane replay --model fraud --shadow boosting-2 --load python:models:predict --from -90d --source lake

    shadowlane replay --model fraud --shadow boosting-3 --load python:models:predict --suite suite.jsonl
    """
    if suite is not None:
        _refuse_beside_suite(start, run, dry_run=dry_run)
        plan = comparing.applied_to(shadow.plan("suite", fetching.applied_to(loading.source())), config)
        replay_suite(replace(plan, isolation=isolation.value()), suite, form)
    if start is None:
        raise SettingsError("say from when on (--from -7d), or name a suite (--suite FILE)")
    from shadowlane.replay_worker import window as it  # noqa: PLC0415 - its packages come with an extra

    chosen, asked = settings(bootstrap_servers, lake, config), it.Window.parse(start, end)
    how = it.How(
        it.Speed.parse(speed), processes, it.parse_duration(margin), source=source.value, lake=chosen.lake
    )
    plan = comparing.applied_to(shadow.plan(run or asked.run, fetching.applied_to(loading.source())), config)
    plan = replace(plan, isolation=isolation.value())
    plan = replace(plan, primary=primary.source(), control=control.value(primary.source()))
    _say_zone(asked)
    with stopped_by_signals() as stop:
        if dry_run:
            estimate = it.estimate_replay(plan, asked, chosen.kafka, how, stop=stop)
            _print(estimate.to_dict(), _estimated(estimate), form)
            return
        with Meter("loading the model") as meter:
            summary = it.run_replay(plan, asked, chosen.kafka, how, stop=stop, follow=_shown_on(meter))
    _print(summary.to_dict(), _summed_up(summary), form)
    if stop.is_set() and not summary.finished:
        raise typer.Exit(_INTERRUPTED)


def _refuse_beside_suite(start: str | None, run: str | None, *, dry_run: bool) -> None:
    given = [("--from", start), ("--run", run), ("--dry-run", dry_run or None)]
    if beside := [name for name, value in given if value is not None]:
        raise SettingsError(f"{beside[0]} is about a window, and a suite is none: leave one of them out")


def _shown_on(meter: Meter) -> Callable[[it.Progress], None]:
    def follow(now: it.Progress) -> None:
        if now.seconds:  # before, the model is being loaded
            meter.follow(now.done, now.total, now.words, str(now))

    return follow


def _say_zone(asked: it.Window) -> None:
    texts = [bound.text for bound in (asked.start, asked.end) if bound.assumed_utc]
    if texts:
        typer.echo(f"no zone named, so UTC: {' to '.join(texts)}", err=True)


def _print(values: dict[str, object], lines: list[tuple[str, str]], form: Form) -> None:
    if form is Form.json:
        typer.echo(json.dumps(values, indent=2))
        return
    for name, text in lines:
        typer.echo(f"{name:>9}  {text}")


def _summed_up(summary: it.Summary) -> list[tuple[str, str]]:
    from shadowlane.replay_worker import window as it  # noqa: PLC0415 - its packages come with an extra

    progress, counts = summary.progress, summary.progress.counts
    again = "the same command goes on" if progress.done < progress.total else "nothing of it is there yet"
    state = "done already" if summary.already else "done" if summary.finished else f"not done: {again}"
    rate = f" at {progress.rate:,.0f} {'messages' if summary.record.lake is None else 'requests'}/s"
    beside = f"{counts.others:,} requests of other models, {counts.outside:,} of other times"
    errors = ", ".join(f"{stage} {count:,}" for stage, count in sorted(counts.errors.items()))
    return [
        ("run", f"{summary.target.run}: {state}"),
        *_window(summary.target.model, summary.target.shadow, summary.record),
        *(("clipped", each) for each in summary.clipped),
        *([("hint", _HINT)] if summary.is_cut else []),
        *_days(summary.record, summary.days),
        (
            "requests",
            f"{counts.requests:,}: {counts.compared:,} compared, {counts.errors.total():,} errors"
            + (f" ({errors})" if errors else ""),
        ),
        *([("beside", beside)] if summary.record.lake is None else []),
        *([("lost", f"{counts.lost:,} offsets that Kafka deleted unread")] if counts.lost else []),
        *([("time", it.span(progress.seconds) + rate)] if progress.seconds else []),
        ("next", summary.next_command),
    ]


def _estimated(estimate: it.Estimate) -> list[tuple[str, str]]:
    from shadowlane.replay_worker import window as it  # noqa: PLC0415 - its packages come with an extra

    sample, seconds, size = estimate.sample, estimate.seconds, estimate.bytes
    from_kafka = estimate.record.lake is None
    known = "" if sample.asked else " (no request in the sample)"
    took = f"; in the sample {sample.seconds / sample.asked * 1000:.3g} ms a request" if sample.asked else ""
    each = f"; in the sample {sample.bytes / sample.compared:,.0f} bytes each" if sample.compared else ""
    return [
        ("run", f"{estimate.target.run}: a dry run, nothing was written"),
        *_window(estimate.target.model, estimate.target.shadow, estimate.record),
        *(("clipped", text) for text in estimate.clipped),
        *_days(estimate.record, estimate.days),
        ("messages", f"{estimate.messages:,}" + (" at most, of all models" if from_kafka else "")),
        ("requests", f"about {estimate.requests:,}; {sample}"),
        ("time", ("unknown" if seconds is None else f"about {it.span(seconds)}") + known + took),
        ("storage", ("unknown" if size is None else f"about {size / 1e6:,.1f} MB in Kafka") + known + each),
    ]


def _days(record: it.Record, days: Mapping[date, int]) -> list[tuple[str, str]]:
    """What the lake holds of each day of the window, those without a request too."""
    times = record.times
    there = sorted(days)
    first = times.start.date() if times.start else (there[0] if there else None)
    last = (times.end - _MOMENT).date() if times.end else (there[-1] if there else None)
    if record.lake is None or not days or first is None or last is None:
        return []
    each = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    said = [f"{day} {days.get(day, 0):,}" for day in each]
    if len(said) > _MOST_DAYS:
        none = [str(day) for day in each if day not in days]
        said = [f"{sum(day in days for day in each)} of {len(each)} days hold requests"]
        said += [f"none on {', '.join(none[:_MOST_DAYS])}{' …' * (len(none) > _MOST_DAYS)}"] if none else []
    return [("by day", ", ".join(said))]


def _window(model: str, shadow: str, record: it.Record) -> list[tuple[str, str]]:
    from shadowlane.replay_worker import window as it  # noqa: PLC0415 - its packages come with an extra

    times = record.times
    start = it.written(times.start) if times.start else record.start
    end = it.written(times.end) if times.end else record.end
    return [("replayed", f"{model} on {shadow}"), ("window", f"{start} to {end}")]
