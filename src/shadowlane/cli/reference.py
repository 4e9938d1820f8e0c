"""Writes docs/cli.md from the commands themselves: `python -m shadowlane.cli.reference`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import typer.main

_HEAD = """# Commands

Written by `make docs` from the commands themselves. Data goes to standard output, progress and logs to
standard error. Each connection option may also come from the environment (`SHADOWLANE_…`) or from
`shadowlane.toml`; an option is stronger than the environment, the environment than the file.
"""


def main() -> None:
    """Print the page."""
    sys.stdout.write(reference())


def reference() -> str:
    """The page."""
    from shadowlane.cli._app import app  # noqa: PLC0415 - so that the hint about the extra comes first

    root = typer.main.get_command(app)
    return _HEAD + "".join(_section(path, command) for path, command in commands("shadowlane", root))


def commands(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    """Each command that does something, by the words that call it."""
    children = getattr(command, "commands", None)
    if children is None:
        yield path, command
        return
    for name, child in children.items():
        yield from commands(f"{path} {name}", child)


def _section(path: str, command: Any) -> str:
    paragraphs = [text.strip() for text in (command.help or "").split("\n\n")]
    prose = [" ".join(text.split()) for text in paragraphs if not text.startswith("Example:")]
    examples = [text.removeprefix("Example:").strip() for text in paragraphs if text.startswith("Example:")]
    lines = [f"\n## {path}\n", *(f"\n{text}\n" for text in prose)]
    lines += [f"\n```\n{' '.join(example.split())}\n```\n" for example in examples]
    options = [each for each in command.params if getattr(each, "param_type_name", "") == "option"]
    if options:
        lines.append("\n| option | what it says |\n|---|---|\n")
        lines += [f"| `{_names(each)}` | {_says(each)} |\n" for each in options]
    return "".join(lines)


def _names(option: Any) -> str:
    value = "" if option.is_flag else f" {option.name.upper()}"
    return ", ".join(option.opts) + value


def _says(option: Any) -> str:
    text = (option.help or "").replace("|", "\\|")
    if option.required:
        return f"{text} Required."
    shown = option.show_default if isinstance(option.show_default, str) else option.default
    if shown in (None, False, "", ()) or callable(shown):
        return text
    return f"{text} Default: {shown}."


if __name__ == "__main__":
    main()
