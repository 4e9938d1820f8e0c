"""The command line: `shadowlane`. Each command parses, calls one library function, and prints."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line."""
    try:
        from shadowlane.cli._app import run  # noqa: PLC0415 - typer comes with an extra
    except ModuleNotFoundError as error:
        if error.name != "typer":
            raise
        sys.exit("The command line needs an extra: pip install 'shadowlane[cli]'")
    run()
