"""Options that several commands share, as a value: a command takes it as one parameter."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields
from functools import wraps
from typing import Any, get_type_hints


def with_options(**groups: type[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the fields of these dataclasses as options, and the command itself their values."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = [each for each in inspect.signature(command).parameters.values() if each.name not in groups]
        hints = get_type_hints(command, include_extras=True)
        shared = {name: _parameters(group) for name, group in groups.items()}

        @wraps(command)
        def run(**values: Any) -> None:
            made = {
                name: group(**{each.name: values.pop(each.name) for each in shared[name]})
                for name, group in groups.items()
            }
            command(**values, **made)

        parameters = [each for group in shared.values() for each in group]
        parameters += [each.replace(annotation=hints[each.name], kind=_KEYWORD) for each in own]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {each.name: each.annotation for each in parameters} | {"return": None}
        del run.__wrapped__  # whoever asks for the signature is given ours
        return run

    return decorate


_KEYWORD = inspect.Parameter.KEYWORD_ONLY


def _parameters(group: type[Any]) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            each.name,
            _KEYWORD,
            default=inspect.Parameter.empty if each.default is MISSING else each.default,
            annotation=hints[each.name],
        )
        for each in fields(group)
    ]
