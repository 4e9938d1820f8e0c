"""The policy: what a shadow must show to be promoted."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar

from shadowlane.aggregator.gate import _kinds
from shadowlane.aggregator.gate._asked import (
    CompletenessCriteria,
    CoverageCriteria,
    FeatureCriteria,
    LabelCriteria,
    NoiseCriteria,
    ResourceCriteria,
    SegmentCriteria,
)
from shadowlane.aggregator.gate._kinds import AMOUNT, COUNT, LEVEL, RATIO, SHARE, criterion
from shadowlane.errors import SettingsError

_SECTIONS: Mapping[str, type[Any]] = {
    "segments": SegmentCriteria,
    "labels": LabelCriteria,
    "noise": NoiseCriteria,
    "features": FeatureCriteria,
    "coverage": CoverageCriteria,
    "completeness": CompletenessCriteria,
    "resources": ResourceCriteria,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The criteria: five that are always looked at, and more where they are asked for.

    A value exactly at its bound meets it. A section may be given as a mapping, as its file has it.

    Raises:
        SettingsError: a value cannot be such a bound; it says which and what may be meant.
    """

    min_requests: int = criterion(COUNT, 10_000)
    min_agreement_rate: float = criterion(SHARE, 0.90)
    max_shadow_latency_p99_ms: float = criterion(AMOUNT, 100.0)
    max_shadow_error_rate: float = criterion(SHARE, 0.001)
    max_distribution_divergence: float = criterion(SHARE, 0.15)
    #: With it, a check passes or fails only when it is settled at this confidence, however often one looks.
    confidence: float | None = criterion(LEVEL, example=0.95)
    max_latency_ratio: float | None = criterion(RATIO, example=1.5)
    segments: SegmentCriteria | None = None
    labels: LabelCriteria | None = None
    noise: NoiseCriteria | None = None
    features: FeatureCriteria | None = None
    coverage: CoverageCriteria | None = None
    completeness: CompletenessCriteria | None = None
    resources: ResourceCriteria | None = None

    REQUIRED: ClassVar = ()

    def __post_init__(self) -> None:
        _check(self, "")
        for name, section in _SECTIONS.items():
            found = getattr(self, name)
            if found is not None:
                found = found if isinstance(found, section) else _section(name, section, found)
                _check(found, f"{name}.")
                object.__setattr__(self, name, found)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Policy:
        """The policy with these criteria, and the defaults for the others."""
        _check_names(values, cls, "")
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
    def criteria(self) -> dict[str, Any]:
        """The criteria that are looked at, as a file has them; `Policy.of` makes the same policy of them."""
        return _given(self)

    @property
    def digest(self) -> str:
        """The same for the same criteria, however they were written."""
        text = json.dumps(self.criteria, sort_keys=True, separators=(",", ":"))
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _section(name: str, section: type[Any], values: Any) -> Any:
    if not isinstance(values, Mapping):
        raise SettingsError(f"{name} = {values!r}: a section of criteria is wanted, headed [{name}]")
    _check_names(values, section, f"{name}.")
    return section(**values)


def _check_names(values: Mapping[str, Any], of: type[Any], prefix: str) -> None:
    known = [field.name for field in fields(of)]
    for name in values:
        if name not in known:
            raise SettingsError(f"there is no criterion {prefix + name!r}: {_nearest(name, known, prefix)}")


def _nearest(name: str, known: list[str], prefix: str) -> str:
    """What may have been meant: a criterion of this section, or one of another."""
    everywhere = dict(_everywhere())
    if name in everywhere:
        return f"did you mean {everywhere[name]}?"
    if near := get_close_matches(name, known, n=1, cutoff=0.5):
        return f"did you mean {prefix}{near[0]}?"
    if near := get_close_matches(name, everywhere, n=1, cutoff=0.6):
        return f"did you mean {everywhere[near[0]]}?"
    return f"known are {', '.join(prefix + each for each in known)}"


def _everywhere() -> Iterator[tuple[str, str]]:
    """The name of each criterion, and where it stands."""
    for section, of in reversed([*_SECTIONS.items()]):
        for field in fields(of):
            yield field.name, f"{section}.{field.name}"
    for field in fields(Policy):
        yield field.name, field.name


def _check(criteria: Any, prefix: str) -> None:
    """See that each value is one, and that what a section cannot do without is there."""
    for field in fields(criteria):
        value = getattr(criteria, field.name)
        if field.metadata and (value is not None or field.default is not None):
            kind, example = field.metadata["kind"], field.metadata["example"]
            object.__setattr__(criteria, field.name, _kinds.read(kind, prefix + field.name, value, example))
    for needed in criteria.REQUIRED:
        names = (needed,) if isinstance(needed, str) else needed
        if all(getattr(criteria, name) is None for name in names):
            wanted = " or ".join(prefix + name for name in names)
            raise SettingsError(f"[{prefix.rstrip('.')}] asks for nothing without {wanted}")


def _given(criteria: Any) -> dict[str, Any]:
    found = {field.name: getattr(criteria, field.name) for field in fields(criteria)}
    return {
        name: _given(value) if name in _SECTIONS else [*value] if isinstance(value, tuple) else value
        for name, value in found.items()
        if value is not None
    }
