"""The policy: what a shadow must show to be promoted."""

from __future__ import annotations

import hashlib
import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from shadowlane.errors import SettingsError


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The five criteria. A value exactly at its bound meets it.

    Raises:
        SettingsError: a value cannot be such a bound; it says which and what may be meant.
    """

    min_requests: int = 10_000
    min_agreement_rate: float = 0.90
    max_shadow_latency_p99_ms: float = 100.0
    max_shadow_error_rate: float = 0.001
    max_distribution_divergence: float = 0.15

    def __post_init__(self) -> None:
        for field in fields(self):
            value = _check(field.name, getattr(self, field.name))
            object.__setattr__(self, field.name, value)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Policy:
        """The policy with these criteria, and the defaults for the others."""
        known = [field.name for field in fields(cls)]
        for name in values:
            if name not in known:
                near = get_close_matches(name, known, n=1, cutoff=0.4)
                hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
                raise SettingsError(f"there is no criterion {name!r}: {hint}")
        return cls(**values)

    @classmethod
    def load(cls, path: str | Path) -> Policy:
        """The policy in a TOML file, one `criterion = value` a line.

        Raises:
            SettingsError: the file cannot be read, is no TOML, or holds a wrong key or value.
        """
        try:
            values = tomllib.loads(Path(path).read_text("utf-8"))
        except OSError as error:
            raise SettingsError(f"policy {path} cannot be read: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(f"policy {path} is not TOML: {error}") from error
        try:
            return cls.of(values)
        except SettingsError as error:
            raise SettingsError(f"policy {path}: {error}") from error

    @property
    def digest(self) -> str:
        """The same for the same criteria, however they were written."""
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


_RATES = {"min_agreement_rate", "max_shadow_error_rate", "max_distribution_divergence"}


def _check(name: str, value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise SettingsError(f"{name} = {value!r}: a number is wanted{_hint(name, value)}")
    if name == "min_requests":
        if value < 1 or value != int(value):
            raise SettingsError(f"{name} = {value!r}: a whole number from 1 is wanted{_hint(name, value)}")
        return int(value)
    if name in _RATES and not 0 <= value <= 1:
        raise SettingsError(f"{name} = {value!r}: a share from 0 to 1 is wanted{_hint(name, value)}")
    if value < 0:
        raise SettingsError(f"{name} = {value!r}: 0 or more is wanted{_hint(name, value)}")
    return float(value)


def _hint(name: str, value: Any) -> str:
    """The nearest right value, where one can be guessed: 95 and "95 %" were meant as 0.95."""
    text = str(value).strip()
    share = text.endswith("%")
    try:
        number = float(text.removesuffix("%").replace(",", "").replace("_", ""))
    except ValueError:
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number) or number < 0:
        default = next(field.default for field in fields(Policy) if field.name == name)
        return f", such as {default}"
    if name == "min_requests":
        return f"; did you mean {max(1, round(number))}?"
    if name in _RATES and (share or number > 1):
        number = min(number / 100, 1.0)
    return f"; did you mean {number:g}?"
