"""What failed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from shadowlane.aggregator.report.figures._rate import Rate
from shadowlane.aggregator.report.figures._rules import Rules


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorType:
    """One kind of error within a stage."""

    error_type: str
    requests: int
    rate: float | None
    example: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorStage:
    """The requests that failed at one stage; the rate is over all requests of the report."""

    stage: str
    requests: int
    counted: bool  # False: messages that could not be decoded, in no count of requests and in no rate
    rate: float | None
    types: tuple[ErrorType, ...]
    other_types: int  # requests with a type beyond the most frequent ones


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorCluster:
    """Requests that failed in one way: the same stage, type and message but for what it names."""

    stage: str
    error_type: str
    shape: str  # the message without what differs from request to request
    rate: Rate  # over all requests of the report
    first_seen: datetime | None
    last_seen: datetime | None
    examples: tuple[str, ...]  # three request ids
    rules: Rules | None  # what these requests share, against all that did not fail so
