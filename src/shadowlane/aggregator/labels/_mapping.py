"""Which column of a file says what of a label, and what holds for all its rows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from shadowlane.errors import SettingsError
from shadowlane.schemas import check_name

KINDS = ("auto", "score", "label", "vector", "ranking")
EMPTY = ("error", "skip", "withdraw")
EPOCHS: Mapping[str, int] = {"s": 1_000_000, "ms": 1_000, "us": 1}
_MOST_NAMES_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelMapping:
    """How rows become labels. What names no column holds for all rows.

    Attributes:
        kind: What the labels are: `score`, `label`, `vector`, `ranking`, or what they look like (`auto`).
        empty: What a row without a label is: an `error`, nothing (`skip`), or the word that what was said
            before does not hold (`withdraw`).
        timezone: The zone of times that name none.
        epoch: The unit of times that are numbers since 1970: `s`, `ms` or `us`.
        source: Who says so.

    Raises:
        SettingsError: these cannot all hold.
    """

    request_id_column: str = "request_id"
    label_column: str = "label"
    observed_at_column: str | None = None
    observed_at: datetime | None = None
    model_column: str | None = None
    model: str | None = None
    name_column: str | None = None
    name: str = "label"
    kind: str = "auto"
    empty: str = "error"
    timezone: str | None = None
    epoch: str | None = None
    source: str = "import"
    delimiter: str = ","

    def __post_init__(self) -> None:
        if self.model and self.model_column:
            raise SettingsError("--model and --model-column: the model is said once, or by each row")
        if self.observed_at and self.observed_at_column:
            raise SettingsError(
                "--observed-at and --observed-at-column: one time for all, or one for each row"
            )
        if self.observed_at and self.observed_at.tzinfo is None:
            raise SettingsError(f"--observed-at {self.observed_at}: it names no time zone")
        if self.model:
            check_name("model", self.model)
        if not self.name:
            raise SettingsError("--name: a label needs a name; leave it out for `label`")
        _one_of("--as", self.kind, KINDS)
        _one_of("--empty", self.empty, EMPTY)
        _one_of("--epoch", self.epoch, (None, *EPOCHS))
        if len(self.delimiter) != 1 or not self.delimiter.isascii() or self.delimiter in '"\r\n':
            raise SettingsError("--delimiter: one character that stands between two cells, such as ';'")
        _check_zone(self.timezone)

    def resolve(self, there: Sequence[str], file: str) -> dict[str, str]:
        """The column of each part of a label, given those which the file has.

        Raises:
            SettingsError: one is not there, or is there twice.
        """
        roles = {"request_id": self.request_id_column, "label": self.label_column}
        options = {"request_id": "--request-id-column", "label": "--label-column"}
        if self.observed_at is None:
            roles["observed_at"] = self.observed_at_column or "observed_at"
            options["observed_at"] = "--observed-at-column, or one time for all with --observed-at"
        if self.model is None:
            roles["model"] = self.model_column or "model"
            options["model"] = "--model-column, or one model for all with --model"
        if self.name_column is not None:
            roles["name"] = self.name_column
            options["name"] = "--name-column, or one name for all with --name"
        for role, column in roles.items():
            if there.count(column) != 1:
                times = "no column" if column not in there else "more than one column"
                raise SettingsError(
                    f"{file} has {times} {column!r} for the {role}: say which it is with {options[role]}. "
                    f"The columns are {_listed(there)}{self._hint(there)}"
                )
        return roles

    def _hint(self, there: Sequence[str]) -> str:
        if len(there) == 1 and any(each in there[0] for each in ";\t|"):
            return ". That looks like several in one: what stands between them is said with --delimiter"
        return ""

    def digest(self, sha256: str) -> str:
        """What an import is known by: the file's bytes, and all of the above."""
        said = asdict(self)
        said["observed_at"] = self.observed_at and self.observed_at.astimezone(UTC).isoformat()
        text = json.dumps([sha256, said], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def _one_of(option: str, value: str | None, known: Sequence[str | None]) -> None:
    if value not in known:
        raise SettingsError(f"{option} {value!r}: use one of {', '.join(filter(None, known))}")


def _check_zone(zone: str | None) -> None:
    if zone is None:
        return
    try:
        ZoneInfo(zone)
    except (ValueError, OSError, KeyError):
        raise SettingsError(f"--timezone {zone!r} is no time zone; write UTC or Europe/Berlin") from None


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name[:60]) for name in names[:_MOST_NAMES_SHOWN])
    more = len(names) - _MOST_NAMES_SHOWN
    return (shown or "none") + (f" and {more} more" if more > 0 else "")
