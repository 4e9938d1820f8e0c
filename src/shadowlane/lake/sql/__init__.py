"""Queries over the lake for people: read-only, over exactly the files of one version of each table.

A query is looked at before it runs (`_gate.py`), sees the tables as views (`_views.py`), runs in an engine
that can reach nothing else (`_sandbox.py`), and its rows are written for people or programs (`_forms.py`).
"""

from shadowlane.lake.sql._forms import Form, write
from shadowlane.lake.sql._gate import QueryError, check_condition, columns_of
from shadowlane.lake.sql._running import Answer, Limits
from shadowlane.lake.sql._sandbox import open_query

__all__ = ["Answer", "Form", "Limits", "QueryError", "check_condition", "columns_of", "open_query", "write"]
