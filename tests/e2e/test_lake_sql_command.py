"""`shadowlane lake sql` as people and programs use it, and its page's queries."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from shadowlane.lake import COMPARISONS, ERRORS, LABELS, LEDGER
from shadowlane.lake import sql as asking
from shadowlane.lake.sql import open_query
from unit.aggregator.report_lake import NOON, comparison, error, files, hook
from unit.lake.reading_lakes import write

Run = Callable[..., subprocess.CompletedProcess[str]]

PAGE = Path(__file__).parents[2] / "docs" / "lake-sql.md"
QUERIES = re.findall(r"```sql\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
ENDLESS = "SELECT sum(hash(a.range * b.range)) FROM range(1000000) a, range(1000000) b"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with something in each table that the page asks."""
    folder = tmp_path_factory.mktemp("lake")
    rows = [comparison(n, agreement=n % 3 > 0, segments=[("country", "DE")]) for n in range(20)]
    write(folder, rows, [comparison(3, event_time=NOON + timedelta(hours=1))])
    write(folder, [error(3), error(30), error(31, error_type="\x1b[2J")], spec=ERRORS)
    label = {"request_id": "r1", "name": "label", "label_score": 1.0, "observed_at": NOON}
    place = {"landed_partition": 0, "landed_offset": 0, "model": "ranker", "date": NOON.date()}
    write(folder, [{**label, **place}], spec=LABELS)
    write(
        folder,
        [hook("a", observed=9), hook("a", observed=20, recorded_at=NOON + timedelta(hours=2))],
        spec=LEDGER,
    )
    return folder


@pytest.fixture
def run(lake: Path, tmp_path: Path) -> Run:
    """Runs `shadowlane lake sql …` on that lake."""

    def call(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "shadowlane", "lake", "sql", *arguments]
        env = os.environ | {"SHADOWLANE_LAKE": str(options.pop("lake", lake)), "COLUMNS": "100"}
        text = str(options.pop("stdin", ""))
        return subprocess.run(
            command,
            cwd=tmp_path,
            env=env,
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return call


def answer_to(lake: Path, query: str) -> list[dict[str, Any]]:
    """A query's rows as a program gets them; the command itself takes seconds to start."""
    out = StringIO()
    with open_query(lake, query) as answer:
        asking.write(answer, asking.Form.json, out)
    rows: list[dict[str, Any]] = json.loads(out.getvalue())
    return rows


def test_the_pages_queries_say_what_they_are_named_after(lake: Path, run: Run) -> None:
    """Each runs, and of a lake that is known its figures are right; the command says the same."""
    answers = [answer_to(lake, query) for query in QUERIES]
    done = run("-", "--format", "json", stdin=QUERIES[0])
    assert (json.loads(done.stdout), done.stderr) == (answers[0], "")
    agreement, cohort, apart, right, slow, failed, twice, ledger = answers
    assert agreement == [{"hour": "2026-03-01T12:00:00Z", "requests": 20, "agreement": 0.65}]
    assert cohort == [{"country": "DE", "requests": 20, "disagreement": pytest.approx(0.35)}]
    assert len(apart) == 7
    assert right == [{"shadow": "challenger", "labelled": 1, "primary_error": 0.25, "shadow_error": 0.25}]
    assert [(row["primary_ms"], row["shadow_ms"]) for row in slow] == [([10.0] * 3, [20.0] * 3)]
    assert sorted((row["error_type"], row["requests"]) for row in failed) == [("\x1b[2J", 1), ("KeyError", 1)]
    assert [row["repeated"] for row in twice] == [1]
    assert [row["observed"] for row in ledger] == [20]


def test_a_table_for_people(run: Run) -> None:
    """Columns and rows on stdout, nothing else; what is more than a table shows is told on stderr."""
    done = run("SELECT model, count(*) AS n FROM comparisons GROUP BY model")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "model    n\n------  --\nranker  21\n"
    done = run("SELECT * FROM range(200)")
    assert len(done.stdout.splitlines()) == 102
    assert "more than these 100 rows: --limit 0 prints all" in done.stderr
    assert "\x1b" not in run("SELECT error_type FROM errors").stdout


def test_an_answer_in_a_file_is_whole_or_not_there(run: Run, tmp_path: Path) -> None:
    """All rows of a query, and of one that fails on its way not even a beginning."""
    done = run("SELECT range AS n FROM range(5000)", "--format", "csv", "-o", "rows.csv")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "rows.csv").read_text().splitlines() == ["n", *map(str, range(5000))]
    fails = "SELECT CASE WHEN range < 90000 THEN '1' ELSE 'x' END::INT AS n FROM range(100000)"
    assert run(fails, "--format", "csv", "-o", "rows.csv").returncode == 2
    assert len((tmp_path / "rows.csv").read_text().splitlines()) == 5001
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


@pytest.mark.parametrize(
    ("query", "code", "said"),
    [
        ("SELECT modle FROM comparisons", 2, "(line 1, at modle)"),
        ("COPY comparisons TO 'x.csv'", 2, "only queries that read are run"),
        ("FROM read_csv('/etc/passwd')", 2, "read_csv() is not there"),
        ("", 2, "the query is empty"),
    ],
)
def test_a_query_that_cannot_run(run: Run, query: str, code: int, said: str) -> None:
    """One sentence on stderr, nothing on stdout, and the exit code of a wrong command."""
    done = run(query)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith("shadowlane: ")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_limits(run: Run) -> None:
    """Time and memory are options, and what is none is refused."""
    done = run(ENDLESS, "--timeout-seconds", "0.5")
    assert (done.returncode, done.stderr) == (1, "shadowlane: the query was stopped after 0.5 s\n")
    done = run("SELECT list(range) FROM range(20000000)", "--memory", "20MB")
    assert done.returncode == 1
    assert "takes more than 20MB" in done.stderr


def test_ctrl_c_ends_a_query_at_once(lake: Path) -> None:
    """With nothing on stdout, and no traceback."""
    command = [sys.executable, "-m", "shadowlane", "-v", "lake", "sql", ENDLESS, "--lake", str(lake)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline and not _is_busy(process.pid):
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert out == ""
    assert "Traceback" not in err
    assert process.returncode not in (0, -signal.SIGINT)


def _is_busy(pid: int) -> bool:
    """Whether the thread that runs queries is there."""
    threads = Path(f"/proc/{pid}/task").glob("*/comm")
    return sum(1 for _ in threads) > 2 and sum(_seconds(pid)) > 2


def _seconds(pid: int) -> tuple[float, float]:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) / 100, int(fields[12]) / 100


def test_a_damaged_lake(run: Run, tmp_path: Path) -> None:
    """The file is named, and the exit code says that data are damaged."""
    folder = tmp_path / "damaged"
    write(folder, [comparison(1)])
    [file] = files(folder, COMPARISONS.name)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    done = run("SELECT count(*) FROM comparisons", lake=folder)
    assert (done.returncode, done.stdout) == (5, "")
    assert file.name in done.stderr


def test_a_table_that_is_not_there_yet_is_told_of(run: Run, tmp_path: Path) -> None:
    """A path mistyped looks empty: stderr says that nothing has landed there."""
    done = run("SELECT count(*) AS n FROM comparisons", "--format", "json", lake=tmp_path / "nowhere")
    assert (done.returncode, json.loads(done.stdout)) == (0, [{"n": 0}])
    assert "has no table comparisons yet" in done.stderr
