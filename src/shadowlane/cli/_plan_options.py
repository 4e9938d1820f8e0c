"""The options of `shadowlane plan`: each value of a plan, under its own name."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from shadowlane.cli._options import Form

_TRAFFIC, _AIM, _TRUTH, _TAKES = "Traffic", "What must be found", "Labels", "What it takes"
_MONEY = "Money and time"


class MetricName(StrEnum):
    """The figure whose smallest difference must be found."""

    agreement = "agreement"
    errors = "errors"
    correctness = "correctness"


def share(text: str) -> float:
    """A number, or one in per cent."""
    try:
        number = float(text.strip().removesuffix("%"))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no number; write 0.05 or 5%") from None
    return number / 100 if text.strip().endswith("%") else number


def _share(panel: str, says: str, shown: str | None = None) -> Any:
    return typer.Option(
        parser=share, metavar="SHARE", help=says, show_default=shown or False, rich_help_panel=panel
    )


def _number(panel: str, says: str, shown: str | None = None) -> Any:
    return typer.Option(help=says, show_default=shown or False, rich_help_panel=panel)


RequestsPerSecond = Annotated[
    float | None, _number(_TRAFFIC, "Requests a second, on average over a day.", "the lake's")
]
Sampling = Annotated[
    float | None, _share(_TRAFFIC, "The share of the requests that is replayed.", "the lake's, or 1")
]
Segment = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=VALUE=SHARE",
        help="A segment that matters, and its share of the requests (with --from-lake the share may be left"
        " out). May be repeated.",
        rich_help_panel=_TRAFFIC,
    ),
]
SegmentRate = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=VALUE=RATE",
        help="A segment's own sampling rate, as shadowlane sampling sets it. May be repeated.",
        rich_help_panel=_TRAFFIC,
    ),
]
PeakFactor = Annotated[
    float | None, _number(_TRAFFIC, "The busiest hour's requests over the average's.", "the lake's, or 2")
]
Usable = Annotated[
    float | None, _share(_TRAFFIC, "Of the replays, those that yield a comparison.", "the lake's, or 1")
]
DesignEffect = Annotated[
    float | None,
    _number(_TRAFFIC, "How many times as many requests it takes as a user's are alike.", "the lake's, or 1"),
]
RequestsPerUser = Annotated[
    float | None, _number(_TRAFFIC, "In place of --design-effect: a user's requests in the whole plan.")
]
UserCorrelation = Annotated[
    float | None, _share(_TRAFFIC, "... and how alike they are, from 0 to 1.", "0.05")
]
Metric = Annotated[
    MetricName | None,
    typer.Option(
        help="The figure whose difference must be found.", show_default="agreement", rich_help_panel=_AIM
    ),
]
Rate = Annotated[
    float | None,
    _share(_AIM, "The figure as expected; of correctness the primary's.", "the lake's, or 0.95"),
]
Difference = Annotated[float | None, _share(_AIM, "The smallest difference that matters.", "0.01")]
SegmentDifference = Annotated[
    float | None, _share(_AIM, "... in each segment.", "none: --min-segment-requests alone")
]
Level = Annotated[float | None, _share(_AIM, "How surely none is found where there is none.", "0.95")]
Power = Annotated[float | None, _share(_AIM, "How surely one is found where there is one.", "0.8")]
IsAnytime = Annotated[
    bool | None,
    typer.Option(
        "--anytime",
        help="Plan for looking as often as one likes, as a gate with confidence does.",
        rich_help_panel=_AIM,
    ),
]
MinRequests = Annotated[int | None, _number(_AIM, "Comparisons at least.", "10000")]
MinSegmentRequests = Annotated[int | None, _number(_AIM, "Comparisons of each segment at least.", "10000")]
CycleDays = Annotated[int | None, _number(_AIM, "Days of a business cycle.", "7")]
LatencyPrecision = Annotated[
    float | None,
    _share(_AIM, "How near to p99 the ends of its interval must lie.", "0.002: p98.8 to p99.2"),
]
LabelCoverage = Annotated[
    float | None, _share(_TRUTH, "The share of the requests that get a label.", "the lake's, or 1")
]
LabelDelayDays = Annotated[float | None, _number(_TRUTH, "How late labels come.", "the lake's, or 0")]
Discordance = Annotated[
    float | None,
    _share(
        _TRUTH,
        "The share of the requests on which just one is right.",
        "the lake's disagreements, or 0.05",
    ),
]
CpuMs = Annotated[float | None, _number(_TAKES, "Processor time of a replay.", "the lake's")]
LatencyMs = Annotated[
    float | None, _number(_TAKES, "How long a replay keeps a worker busy.", "the lake's, or as --cpu-ms")
]
Utilization = Annotated[float | None, _share(_TAKES, "How busy workers may be at the busiest hour.", "0.7")]
ComparisonBytes = Annotated[float | None, _number(_TAKES, "A comparison in the lake.", "the lake's, or 150")]
RequestBytes = Annotated[float | None, _number(_TAKES, "A request in Kafka.", "1000")]
Replication = Annotated[int | None, _number(_TAKES, "Copies that Kafka keeps.", "3")]
CostPer1000 = Annotated[
    float | None, _number(_MONEY, "What a thousand inferences cost.", "--cpu-ms at --core-hour")
]
CoreHour = Annotated[float | None, _number(_MONEY, "What a core costs for an hour.", "0.04")]
GbMonth = Annotated[float | None, _number(_MONEY, "What a gigabyte costs for a month.", "0.023")]
KeepDays = Annotated[int | None, _number(_MONEY, "How long the lake keeps comparisons.", "90")]
Budget = Annotated[
    float | None,
    _number(_MONEY, "What all may cost: which sampling does it pay for, and what does that find?"),
]
DeadlineDays = Annotated[
    float | None,
    typer.Option(
        "--deadline",
        metavar="DAYS",
        help="Days that there are, labels and all: which sampling meets it?",
        rich_help_panel=_MONEY,
    ),
]
FromLake = Annotated[
    bool,
    typer.Option("--from-lake", help="Read the real rates: give --model and --shadow, too."),
]
PlannedModel = Annotated[str | None, typer.Option(help="The model whose requests are replayed.")]
PlannedShadow = Annotated[str | None, typer.Option(help="The shadow's name.")]
MinShare = Annotated[
    float | None, _share(_TRAFFIC, "With --from-lake: smaller segments do not matter.", "0.01")
]
How = Annotated[Form, typer.Option("--format", help="How it is printed.")]
