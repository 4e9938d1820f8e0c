"""Looks at a query before it runs: one statement, that only reads, and which tables it names.

The engine's own parser says what a query is; nothing is guessed from its text. What is let through meets
an engine that can reach nothing but the lake's files: this gate is the first of two, and the one that can
say why.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import duckdb

from shadowlane.errors import SettingsError
from shadowlane.lake._tables import TableSpec
from shadowlane.visible import visible

_EXPLAIN = re.compile(r"\s*(EXPLAIN(?:\s+ANALYZE)?)\s+(.+)", re.IGNORECASE | re.DOTALL)
_HALF = re.compile("[\ud800-\udfff]")
_READING = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}
_TABLE_FUNCTIONS = {"generate_series", "json_each", "json_tree", "range", "repeat", "unnest"}
# They tell of the machine, hold the engine's threads or write to its log.
_NO_FUNCTIONS = {
    "current_setting",
    "getenv",
    "json_execute_serialized_sql",
    "pg_sleep",
    "sleep_ms",
    "write_log",
}
#: The same, as a table that every engine has.
_NO_TABLES = {"pg_settings"}
_ALLOWED = "SELECT, WITH, FROM, VALUES, DESCRIBE, SUMMARIZE, SHOW or EXPLAIN"
# The engine says of most functions whether they always give the same; of these it is wrong, or says nothing.
_CLOCKS = {"current_localtime", "current_localtimestamp", "current_time", "current_timestamp", "localtime",
    "getvariable", "localtimestamp"}  # fmt: skip
_UNSTEADY = "SELECT DISTINCT lower(function_name) FROM duckdb_functions() WHERE stability <> 'CONSISTENT'"


class QueryError(SettingsError):
    """A query cannot be run as it is written."""


@dataclass(frozen=True, slots=True)
class Query:
    """A query that only reads, and the names of the tables in it."""

    text: str
    tables: frozenset[str]


def let_through(text: str) -> Query:
    """The query, when it may run.

    Raises:
        QueryError: it is not one statement that only reads; it says what is wrong, and where.
    """
    explain = _EXPLAIN.fullmatch(text)
    tree = _parsed(text, explain.start(2) if explain else 0)
    if not tree:
        raise QueryError("the query is empty")
    if len(tree) > 1:
        raise QueryError(f"one query at a time: these are {len(tree)} statements")
    tables = set()
    for each in _parts(tree):
        _check(each)
        if each.get("type") == "BASE_TABLE":
            tables.add(str(each.get("table_name", "")).lower())
    for name in tables & _NO_TABLES:
        raise QueryError(f"{name} is not there in a query over the lake")
    return Query(text, frozenset(tables))


def check_condition(text: str, spec: TableSpec) -> None:
    """See that a text is one condition over the columns of a table, and nothing besides.

    Raises:
        QueryError: it is not; it says what is wrong.
    """
    # Alone it is one value, so that no bracket of it closes one of ours; in brackets it is a condition.
    bracketed = f"SELECT ({text}\n) AS it FROM {spec.name}"  # noqa: S608 - looked at before it runs
    alone, within = let_through(f"SELECT {text}\n"), let_through(bracketed)
    if alone.tables or within.tables != {spec.name}:
        raise QueryError(f"a condition reads the columns of {spec.name}, and no other table")
    [statement] = _parsed(f"SELECT {text}\n", 0)
    if len(statement["node"].get("select_list", ())) != 1:
        raise QueryError("one condition is wanted: join several with AND and OR")
    with duckdb.connect(":memory:") as engine:
        _check_steady(statement, {name for (name,) in engine.execute(_UNSTEADY).fetchall()} | _CLOCKS)
        engine.register(spec.name, spec.schema.empty_table())
        try:
            engine.execute(f"SELECT 1 FROM {spec.name} WHERE ({text}\n)")  # noqa: S608 - looked at above
            [(_, kind, *_)] = engine.execute(f"DESCRIBE {bracketed}").fetchall()
        except duckdb.Error as error:
            said = visible(str(error).splitlines()[0])
            raise QueryError(f"the condition cannot be used: {said}") from error
    if kind != "BOOLEAN":
        raise QueryError(f"a condition is true or false; this is {visible(kind)}")


def columns_of(condition: str) -> frozenset[str]:
    """The names that a condition speaks of: columns, most of them."""
    refs = (part for part in _parts(_parsed(f"SELECT {condition}\n", 0)) if part.get("class") == "COLUMN_REF")
    return frozenset(str(part["column_names"][0]).lower() for part in refs)


def _check_steady(statement: dict[str, Any], unsteady: set[str]) -> None:
    """See that a condition holds for the same rows each time it is asked."""
    for part in _parts(statement):
        name = str(part.get("function_name", "")).lower()
        if part.get("class") == "COLUMN_REF":  # the clock may be asked without brackets
            name = ".".join(part["column_names"]).lower()
        arguments = part.get("arguments", part.get("children", ()))
        if name in unsteady or (name == "age" and len(arguments) == 1):  # of one time: until today
            raise QueryError(
                f"{name} gives something else each time, and figures of such a condition could not be made "
                "again: write the value itself (of a time: '2026-03-01'::TIMESTAMPTZ)"
            )


def place(text: str, position: int) -> str:
    """Where in a query something is: line and column, both from 1."""
    lines = text[:position].split("\n")
    return f"line {len(lines)}, column {len(lines[-1]) + 1}"


def _parsed(text: str, start: int) -> list[dict[str, Any]]:
    """The statements from there on, as the engine's parser understands them."""
    if "\0" in text or _HALF.search(text):
        raise QueryError("the query cannot be parsed: it holds a NUL, or half a character")
    with duckdb.connect(":memory:") as parser:
        try:
            [(answer,)] = parser.execute(
                "SELECT json_serialize_sql($query)", {"query": text[start:]}
            ).fetchall()
            tree = json.loads(answer)
        except (duckdb.Error, RecursionError) as error:
            raise QueryError("the query cannot be parsed: it is too deep") from error
    if not tree["error"]:
        return list(tree["statements"])
    if tree["error_type"] == "parser":
        said = visible(" ".join(str(tree["error_message"]).split()))
        where = f" ({place(text, start + int(tree['position']))})" if "position" in tree else ""
        raise QueryError(f"the query cannot be parsed: {said}{where}")
    raise QueryError(f"only queries that read are run: {_ALLOWED}")


def _parts(tree: Any) -> Iterator[dict[str, Any]]:
    """Every part of it, however deep."""
    waiting = [tree]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            yield each
            waiting.extend(each.values())
        elif isinstance(each, list):
            waiting.extend(each)


def _check(part: dict[str, Any]) -> None:
    kind, name = str(part.get("type", "")), str(part.get("function_name", "")).lower()
    if kind.endswith("_NODE") and kind not in _READING:
        raise QueryError(f"only queries that read are run: {_ALLOWED}")
    if kind == "TABLE_FUNCTION":
        called = str(part["function"].get("function_name", "")).lower()
        if called not in _TABLE_FUNCTIONS:
            known = ", ".join(sorted(_TABLE_FUNCTIONS))
            raise QueryError(
                f"{called}() is not there in a query over the lake: it reads the tables; of functions that "
                f"give rows there are {known}"
            )
    if name in _NO_FUNCTIONS:
        raise QueryError(f"{name}() is not there in a query over the lake")
