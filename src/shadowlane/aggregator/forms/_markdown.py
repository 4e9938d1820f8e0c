"""The report as Markdown, for a pull request: what decides first, the rest folded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from shadowlane.aggregator.forms.content import Section, Table, findings, narrowed, sections, versions_of
from shadowlane.aggregator.gate._gate import GateResult
from shadowlane.aggregator.report import _values
from shadowlane.aggregator.report._report import Report
from shadowlane.visible import visible

VERDICTS = {
    "promote": "✅ PROMOTE",
    "hold": "⛔ HOLD",
    "inconclusive": "❔ INCONCLUSIVE",
    "no_data": "∅ NO DATA",
}
_MARKS = {True: "✅ pass", False: "❌ fail", None: "❔ unknown"}
_WEIGHTS = {"alarm": "🔴 alarm", "warning": "🟡 warning", "remark": "🔵 remark"}

# What Markdown or HTML would act on. A forge also makes links of @names and #numbers after rendering:
# a space of no width stops it.
_ACTS = re.compile(r"[\\`*_{}\[\]!|~^$:<>&@#]|(?<=www)\.", re.IGNORECASE)
_WRITTEN = {"<": "&lt;", ">": "&gt;", "&": "&amp;", "@": "&#64;&#8203;", "#": "&#35;&#8203;"}
_SENTENCE = 1_000
_MOST_ROWS = 10
#: GitHub refuses a comment of more than 65,536 letters.
_MOST_LETTERS = 60_000


def report_to_markdown(report: Report, gate: GateResult | None = None) -> str:
    """The report, with the verdict at its top where there is one."""
    return _bounded([f"# {_title(report)}", *_gate_parts(gate, "##"), *_report_parts(report)])


def gate_to_markdown(result: GateResult) -> str:
    """The verdict and its checks alone."""
    summary = result.report_summary
    model, shadow, run = (escape(str(summary[name])) for name in ("model", "shadow", "run"))
    evidence = (
        f"Decided {_values.moment(result.decided_at)} by shadowlane {result.software_version}, "
        f"policy `{result.policy.digest}`, tables {escape(versions_of(result.table_versions))}."
    )
    return _bounded(
        [
            f"# {model} → {shadow}, run {run}",
            *_gate_parts(result, "##"),
            *_notes([*narrowed(summary), *result.notes]),
            evidence,
        ]
    )


def escape(text: str, longest: int = _SENTENCE) -> str:
    """Text from outside, with nothing left that Markdown, HTML or a forge would act on."""
    shown = visible(text, longest)
    return _ACTS.sub(lambda found: _WRITTEN.get(found.group(), f"\\{found.group()}"), shown)


def _title(report: Report) -> str:
    scope = report.scope
    return f"{escape(scope.model)} → {escape(scope.shadow)}, run {escape(scope.run)}"


def _gate_parts(gate: GateResult | None, level: str) -> Iterator[str]:
    if gate:
        yield f"{level} {VERDICTS[gate.verdict]}"
        yield escape(gate.reason)
        rows = ((escape(check.name), _MARKS[check.passed], escape(check.why)) for check in gate.checks)
        yield _lines(("check", "", "why"), rows)


def _report_parts(report: Report) -> Iterator[str]:
    found = findings(report)
    if found:
        yield "## What stands out"
        yield "\n".join(f"- {_WEIGHTS[each.weight]}: {escape(each.sentence)}" for each in found)
    page = [each for each in sections(report) if each.key != "headline"]
    for section in page:
        if section.key == "notes":
            yield from _notes(section.lead)
        elif section.brief:
            yield f"## {escape(section.title)}"
            yield from (_table(each) for each in section.tables)
        for table in section.tables:
            if table.brief:
                yield f"## {escape(table.title)}"
                yield _table(table)
    for section in page:
        if not section.brief:
            yield "\n\n".join(_folded(section))


def _notes(remarks: Sequence[str]) -> Iterator[str]:
    if remarks:
        yield "## To know"
        yield "\n".join(f"- {escape(note)}" for note in remarks)


def _folded(section: Section) -> Iterator[str]:
    """A section that opens at a click. Blank lines let a forge read Markdown inside of HTML."""
    yield f"<details><summary>{_in_html(section.title)}</summary>"
    if section.lead:
        yield escape(" ".join(section.lead))
    for table in section.tables:
        if not table.behind and not table.brief:
            if table.title:
                yield f"**{escape(table.title)}**"
            yield _table(table)
    yield "</details>"


def _in_html(text: str) -> str:
    """Text between two tags, where Markdown's own escapes are not read."""
    return "".join(
        letter if letter.isalnum() or letter == " " else _WRITTEN.get(letter, f"&#{ord(letter)};")
        for letter in text
    )


def _table(table: Table) -> str:
    rows = [[escape(cell.text) for cell in row] for row in table.rows[:_MOST_ROWS]]
    more = len(table.rows) - len(rows)
    said = [f"And {_values.many(more, 'more row')}."] * bool(more) + [escape(table.note)] * bool(table.note)
    lines = _lines([escape(column.name) for column in table.columns], rows)
    if not rows:
        return " ".join(said)
    return f"{lines}\n\n{' '.join(said)}" if said else lines


def _lines(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _bounded(parts: Iterable[str]) -> str:
    """The parts that a comment can hold; what is left out is said."""
    kept, letters, left_out = [], 0, 0
    for part in parts:
        letters += len(part) + 2
        if letters <= _MOST_LETTERS:
            kept.append(part)
        else:
            left_out += 1
    if left_out:
        kept.append(f"{_values.many(left_out, 'part')} left out: a comment cannot hold more.")
    return "\n\n".join(kept) + "\n"
