"""`shadowlane plan`: how many samples and days a decision takes, and what they cost."""

# ruff: noqa: ARG001 - a plan's values are taken from the context, all at once

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from shadowlane.cli import _plan_options as options
from shadowlane.cli._evidence import End, Start, printing
from shadowlane.cli._options import Config, Form, Lake, Run, settings
from shadowlane.errors import SettingsError

if TYPE_CHECKING:
    from shadowlane.aggregator import Scope
    from shadowlane.aggregator.planning import Measured, Segment

# Options that are no values of a plan under their own names.
_NO_VALUES = {
    "config", "end", "form", "from_lake", "lake", "min_share", "model", "requests_per_user", "run", "segment",
    "segment_rate", "shadow", "start", "user_correlation",
}  # fmt: skip
_CORRELATION = 0.05


def plan(
    context: typer.Context,
    *,
    requests_per_second: options.RequestsPerSecond = None,
    sampling: options.Sampling = None,
    segment: options.Segment = None,
    segment_rate: options.SegmentRate = None,
    peak_factor: options.PeakFactor = None,
    usable: options.Usable = None,
    design_effect: options.DesignEffect = None,
    requests_per_user: options.RequestsPerUser = None,
    user_correlation: options.UserCorrelation = None,
    metric: options.Metric = None,
    rate: options.Rate = None,
    difference: options.Difference = None,
    segment_difference: options.SegmentDifference = None,
    level: options.Level = None,
    power: options.Power = None,
    is_anytime: options.IsAnytime = None,
    min_requests: options.MinRequests = None,
    min_segment_requests: options.MinSegmentRequests = None,
    cycle_days: options.CycleDays = None,
    latency_precision: options.LatencyPrecision = None,
    label_coverage: options.LabelCoverage = None,
    label_delay_days: options.LabelDelayDays = None,
    discordance: options.Discordance = None,
    cpu_ms: options.CpuMs = None,
    latency_ms: options.LatencyMs = None,
    utilization: options.Utilization = None,
    comparison_bytes: options.ComparisonBytes = None,
    request_bytes: options.RequestBytes = None,
    replication: options.Replication = None,
    cost_per_1000: options.CostPer1000 = None,
    core_hour: options.CoreHour = None,
    gb_month: options.GbMonth = None,
    keep_days: options.KeepDays = None,
    budget: options.Budget = None,
    deadline_days: options.DeadlineDays = None,
    from_lake: options.FromLake = False,
    model: options.PlannedModel = None,
    shadow: options.PlannedShadow = None,
    run: Run = "live",
    start: Start = None,
    end: End = None,
    min_share: options.MinShare = None,
    form: options.How = Form.table,
    lake: Lake = None,
    config: Config = None,
) -> None:
    """Say how many samples and days a decision takes, what they cost, and which sampling fits.

    Without --sampling, --deadline or --budget choose it. Shares are written 0.05 or 5%.

    Example: shadowlane plan --requests-per-second 50 --sampling 5% --segment country=IT=1.2% --cpu-ms 4

    Example: shadowlane plan --from-lake --model fraud --shadow boosting-2 --budget 200
    """
    from shadowlane.aggregator import planning  # noqa: PLC0415 - an extra brings it

    values = {name: value for name, value in context.params.items() if name not in _NO_VALUES}
    values["metric"] = planning.Metric(metric.value) if metric else None
    values["design_effect"] = _design_effect(design_effect, requests_per_user, user_correlation)
    shares, rates = _pairs("--segment", segment), _pairs("--segment-rate", segment_rate)
    measured = None
    if from_lake:
        scope = _scope(model, shadow, run, start, end)
        measured = planning.read_traffic(
            settings(lake=lake, config=config).lake,
            scope,
            values["metric"] or planning.Metric.agreement,
            {name for name, number in shares.items() if number is None},
            planning.MIN_SHARE if min_share is None else min_share,
        )
    values["segments"] = _segments(shares, rates, measured)
    inputs = planning.Inputs.of(values, measured.values if measured else None)
    made = planning.make_plan(
        inputs, measured.besides if measured else None, measured.notes if measured else ()
    )
    with printing():
        if form is Form.json:
            typer.echo(planning.plan_to_json(made), nl=False)
        else:
            from shadowlane.aggregator.planning.terminal import print_plan  # noqa: PLC0415 - as above

            print_plan(made, Console())


def _scope(
    model: str | None, shadow: str | None, run: str, start: datetime | None, end: datetime | None
) -> Scope:
    from shadowlane.aggregator import Scope  # noqa: PLC0415 - an extra brings it

    if model is None or shadow is None:
        missing = "--model" if model is None else "--shadow"
        raise SettingsError(f"--from-lake needs {missing}, which is missing: whose requests are read?")
    return Scope(model, shadow, run, start, end)


def _design_effect(given: float | None, per_user: float | None, correlation: float | None) -> float | None:
    from shadowlane.aggregator.planning import cluster_effect  # noqa: PLC0415 - an extra brings it

    if per_user is None:
        if correlation is not None:
            raise SettingsError("--user-correlation needs --requests-per-user, which is missing")
        return given
    if given is not None:
        raise SettingsError("--design-effect and --requests-per-user say the same; give one of them")
    return cluster_effect(per_user, _CORRELATION if correlation is None else correlation)


def _pairs(option: str, texts: list[str] | None) -> dict[str, float | None]:
    """Names of segments with their numbers: country=IT=0.012, or country=IT for one that the lake knows."""
    found: dict[str, float | None] = {}
    for text in texts or ():
        name, _, number = text.rpartition("=")
        try:
            named = (name, options.share(number)) if "=" in name else (text, None)
        except typer.BadParameter:
            named = (text, None)
        if named[0] in found:
            raise SettingsError(f"{option} {text!r}: this segment is there twice; name it once")
        found[named[0]] = named[1]
    return found


def _segments(
    shares: dict[str, float | None], rates: dict[str, float | None], measured: Measured | None
) -> tuple[Segment, ...] | None:
    """The segments given, with what the lake knows of those that it read; None leaves all to the lake."""
    from shadowlane.aggregator.planning import Segment  # noqa: PLC0415 - an extra brings it

    known = {each.name: each for each in (measured.values["segments"] if measured else ())}
    names = [*shares] or [*known]
    for name, rate in rates.items():
        if rate is None:
            raise SettingsError(f"--segment-rate {name!r}: the rate is missing; write {name}=1.0")
        if name not in names:
            raise SettingsError(f"--segment-rate {name!r}: no such segment; name it with --segment, too")
    made = []
    for name in names:
        own = shares.get(name)
        if own is None and name not in known:
            raise SettingsError(f"--segment {name!r}: its share is missing; write {name}=0.012")
        found = known.get(name)
        rate = rates.get(name, found.sampling if found else None)
        made.append(Segment(name, own if own is not None else known[name].share, rate))
    return tuple(made) if shares or rates else None
