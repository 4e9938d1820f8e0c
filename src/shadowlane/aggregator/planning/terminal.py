"""A plan on a terminal of 100 columns (needs `[cli]`).

Names of segments come from data: they are made visible, and given as rich's `Text`, never as markup.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from shadowlane.aggregator.planning._basis import assumptions
from shadowlane.aggregator.planning._figures import Plan, ScopePlan
from shadowlane.aggregator.planning._inputs import Metric
from shadowlane.aggregator.planning._says import sentences
from shadowlane.aggregator.planning._words import days, many, money, number, percent, size
from shadowlane.errors import MissingExtraError
from shadowlane.visible import visible

try:
    from rich.console import Console, Group, RenderableType
    from rich.table import Table
    from rich.text import Text
except ImportError as error:  # pragma: no cover - the base install is tested in an environment of its own
    raise MissingExtraError("cli", "The terminal page") from error

_WIDTH = 100
_NOTHING = "—"
_SHOWN = 20
# What Kafka keeps where nobody says otherwise.
_KAFKA_DAYS = 7
_DEFAULT = "default"


def print_plan(plan: Plan, console: Console) -> None:
    """Print the plan; its summary is the last line."""
    *more, summary = sentences(plan)
    parts: list[RenderableType] = [_title(plan), Text(), _scopes(plan), Text(), _figures(plan), Text()]
    remarks = _remarks([*plan.notes, _assumed(plan), *more])
    page = Group(*parts, remarks, Text(), Text(summary, "bold"))
    width = min(console.width, _WIDTH)
    if console.is_terminal:
        console.print(page, width=width)
        return
    # A file or pipe gets no spaces at the ends of lines: they are noise to diff, grep and copy.
    with console.capture() as captured:
        console.print(page, width=width)
    console.file.writelines(f"{line.rstrip()}\n" for line in captured.get().rstrip("\n").split("\n"))
    console.file.flush()


def _title(plan: Plan) -> Text:
    traffic = number(plan.inputs.traffic.requests_per_second)
    return Text.assemble(
        ("shadowlane plan", "bold cyan"),
        (f"   {traffic} requests a second, {percent(plan.sampling)} replayed", "dim"),
    )


def _remarks(remarks: Sequence[str]) -> Table:
    """A list whose lines stand under each other where they wrap."""
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
    for remark in remarks:
        table.add_row(Text("•"), Text(remark))
    return table


def _scopes(plan: Plan) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("", overflow="fold")
    for name in ("share", "sampling", "needed", "what for", "a day", "days", "finds"):
        table.add_column(name, justify="left" if name == "what for" else "right", no_wrap=True)
    slowest = sorted(plan.segments, key=lambda each: (-each.days, each.share, each.segment or ""))
    for scope in (plan.everything, *slowest[:_SHOWN]):
        is_decisive = plan.decided_by != "cycle" and scope.segment == plan.decisive_segment
        table.add_row(*_scope(scope), style="bold" if is_decisive else None)
    if len(slowest) > _SHOWN:
        table.add_row(Text(f"{len(slowest) - _SHOWN:,} more segments, sooner done", "dim"))
    return table


def _scope(scope: ScopePlan) -> tuple[Text, ...]:
    cells = (
        "all requests" if scope.segment is None else visible(scope.segment, 60),
        percent(scope.share),
        percent(scope.sampling),
        f"{scope.decisive.comparisons:,}",
        scope.decisive.reason,
        number(scope.comparisons_a_day),
        f"{scope.days:,}",
        _NOTHING if scope.detectable is None else number(scope.detectable),
    )
    return tuple(map(Text, cells))


def _figures(plan: Plan) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column()
    for name, says in _lines(plan):
        table.add_row(Text(name, "bold"), Text(says))
    return table


def _lines(plan: Plan) -> Iterator[tuple[str, str]]:
    yield "Difference", _difference(plan)
    if plan.inputs.traffic.design_effect > 1:
        effect = f"{plan.inputs.traffic.design_effect:.3g}"
        yield "Users", f"one user's requests are alike: it takes {effect} times as many"
    if plan.pairing:
        paired = f"{plan.pairing.paired:,} requests that both models see"
        yield "Paired", f"{paired}, in place of {plan.pairing.unpaired:,} that one of them sees"
    yield "p99 latency", _latency(plan)
    if plan.least_sampling is not None:
        yield "Least rate", f"{percent(plan.least_sampling)} for all, in the same {days(plan.window_days)}"
    yield "Replays", _replays(plan)
    yield "Storage", _storage(plan)
    yield "Busiest hour", _capacity(plan)
    yield "Kafka", _kafka(plan)
    if plan.measured:
        yield "Seen", _seen(plan)


def _difference(plan: Plan) -> str:
    aim, looks = plan.inputs.aim, plan.looks
    of = "" if aim.metric is Metric.correctness else f" {number(aim.rate)}"
    return (
        f"of {number(aim.difference)} in {aim.metric.value}{of}: {looks.fixed:,} looked at once,"
        f" {looks.anytime:,} at any time ({looks.extra:.1f} times)"
    )


def _latency(plan: Plan) -> str:
    near = plan.inputs.aim.latency_precision * 100
    precise = next(need.comparisons for need in plan.everything.needs if need.reason == "latency")
    return (
        f"{plan.latency_interval:,} for any interval, {precise:,} for one"
        f" from p{99 - near:.4g} to p{99 + near:.4g}"
    )


def _kafka(plan: Plan) -> str:
    retention = plan.retention
    copies = many(plan.inputs.resources.replication, "copy", "copies")
    text = f"keep requests for {days(retention.days)}: {size(retention.bytes)} with {copies}"
    is_long = retention.days > _KAFKA_DAYS
    return f"{text}; or shadowlane aggregate --archive-requests" if is_long else text


def _replays(plan: Plan) -> str:
    costs = plan.costs
    text = f"{costs.replays:,} in {days(plan.window_days)}"
    if costs.cpu_hours is not None:
        text += f", {number(costs.cpu_hours)} CPU hours"
    if costs.compute is None or costs.cost_per_1000 is None or costs.total is None:
        return f"{text}; cost unknown: give --cost-per-1000 or --cpu-ms"
    return (
        f"{text}, {money(costs.compute)} at {money(costs.cost_per_1000)} a thousand;"
        f" with storage {money(costs.total)}"
    )


def _storage(plan: Plan) -> str:
    costs, prices = plan.costs, plan.inputs.prices
    return (
        f"{size(costs.lake_bytes)} in the lake: {money(costs.storage_a_month)} a month,"
        f" {money(costs.storage)} for {days(prices.keep_days)}"
    )


def _capacity(plan: Plan) -> str:
    capacity = plan.capacity
    text = (
        f"{number(capacity.peak_requests_per_second)} requests a second,"
        f" {number(capacity.peak_replays_per_second)} replayed"
    )
    if capacity.workers is None:
        return f"{text}; workers unknown: give --cpu-ms or --latency-ms"
    cores = "" if capacity.cores is None else f" on {many(capacity.cores, 'core')}"
    busy = percent(plan.inputs.resources.utilization)
    return f"{text}: {many(capacity.workers, 'worker')}{cores}, at most {busy} busy"


def _seen(plan: Plan) -> str:
    seen = plan.measured or {}
    return (
        f"{seen['requests']:,} requests, {seen['first_request']:%Y-%m-%d %H:%M}"
        f" to {seen['last_request']:%Y-%m-%d %H:%M} UTC:"
        f" {number(plan.inputs.traffic.requests_per_second)} a second, sampled or not"
    )


def _assumed(plan: Plan) -> str:
    """The values that nobody gave."""
    given = (each for each in assumptions(plan) if each.source == _DEFAULT and each.value is not None)
    of_truth = ("label_coverage", "label_delay_days", "discordance")
    is_of_truth = plan.inputs.aim.metric is Metric.correctness
    values = [
        f"{each.name} {each.value if isinstance(each.value, str) else number(each.value)}"
        for each in given
        if each.name not in ("segments", "is_anytime") and (is_of_truth or each.name not in of_truth)
    ]
    return f"Assumed: {', '.join(values)}."
