"""Rules as a table: what requests share that disagree, fail, or are slow."""

from __future__ import annotations

from collections.abc import Iterator

from shadowlane.aggregator.forms.content._parts import Column, Table, right, table
from shadowlane.aggregator.report import _values
from shadowlane.aggregator.report.figures import Rule, Rules
from shadowlane.visible import visible

_TEXT = 400


def rules_table(found: Rules | None, title: str, sought: str, *, brief: bool = False) -> Iterator[Table]:
    """The rules, the one that explains most first, and what is left beside them."""
    if found is None:
        return
    columns = (
        Column("where", "data"),
        *right("hits", "of", "share", "rate", "lift", "p"),
        Column("for example", "data"),
    )
    rows, note = [_row(each) for each in found.rules], _note(found, sought)
    yield table(columns, rows, title=title, note=note, brief=brief)


def _row(rule: Rule) -> tuple[str, ...]:
    return (
        visible(rule.text, _TEXT),
        _values.count(rule.hits),
        _values.count(rule.requests),
        _values.percent(rule.share, 1),
        _values.percent(rule.rate.value, 1),
        f"{rule.lift:,.1f}{_ends(rule)}",
        _values.p_value(rule.p_value),
        ", ".join(visible(each, 64) for each in rule.examples[:3]),
    )


def _ends(rule: Rule) -> str:
    return f" ({_values.between(rule.lift_interval, _tenths)})" if rule.lift_interval else ""


def _tenths(value: float) -> str:
    return f"{value:,.1f}"


def _note(found: Rules, sought: str) -> str:
    said = (
        f"Hits: {sought} ones; share: of all of them. "
        if found.rules
        else f"No rule tells the {sought} ones from others. "
    )
    said += f"{found.sought:,} {sought} among {found.among:,} looked at, {found.uncovered:,} in no rule; "
    said += f"{_values.many(len(found.fields), 'field')} could be told apart by."
    return f"{said} {visible(found.note, _TEXT)}".strip()
