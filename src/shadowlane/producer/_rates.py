"""The rates that hold now: as the hook was given them, under its file, under the control topic.

Looked at from the hook's background thread, about once a second. Whatever goes wrong with a source,
the rates in force stay.
"""

from __future__ import annotations

import os
import stat
import tomllib
from contextlib import suppress
from pathlib import Path

from shadowlane.errors import SettingsError
from shadowlane.producer._control import ControlFeed
from shadowlane.producer._log import Log, described
from shadowlane.producer._sampling import Rates, Sampling
from shadowlane.settings import KafkaSettings

_KNOWN = ("rate", "segments")
_LARGEST = 64 * 1024


def first_rates(sampling: Sampling) -> Rates:
    """The rates to begin with: the file's, where it can be used; whoever watches it says why not."""
    if sampling.file is not None:
        with suppress(OSError, SettingsError, ValueError):
            return _rates_in(_read(Path(sampling.file)))
    return sampling.rates


class RateWatch:
    """Notices when the rates of a hook change: one for each process.

    Args:
        in_force: The rates until the first look, where they are not the ones that `sampling` says:
            a forked child starts with its parent's.
    """

    def __init__(
        self,
        sampling: Sampling,
        model: str,
        kafka: KafkaSettings,
        log: Log,
        in_force: Rates | None = None,
    ) -> None:
        self._given = sampling.rates
        self._in_force = in_force or self._given
        self._model, self._log = model, log
        self._control = ControlFeed(model, kafka, log) if sampling.control else None
        file = None if sampling.file is None else RateFile(Path(sampling.file), log)
        #: The strongest first.
        self._sources = [source for source in (self._control, file) if source is not None]

    @property
    def consumer(self) -> object:
        """What follows the control topic; a forked child must never run its destructor."""
        return self._control and self._control.consumer

    def look(self) -> Rates | None:
        """The new rates where they changed since the last look; it waits for nothing and never raises."""
        rates = self._rates()
        if rates == self._in_force:
            return None
        self._in_force = rates
        apart = f"; segments with a rate of their own: {len(rates.segments)}" if rates.segments else ""
        self._log.change(f"the hook of {self._model} now samples at {rates.rate}{apart}")
        return rates

    def close(self) -> None:
        """Let the control topic go; the rates stay."""
        if self._control is not None:
            self._control.close()

    def _rates(self) -> Rates:
        """What the strongest source says that says anything."""
        for source in self._sources:
            self._look_at(source)
        for source in self._sources:
            if source.rates is not None:
                return source.rates
        is_known = self._control is None or self._control.is_caught_up
        return self._given if is_known else self._in_force

    def _look_at(self, source: ControlFeed | RateFile) -> None:
        try:
            source.look()
        except BaseException as error:  # a native library may panic, and a panic is no Exception
            self._log.once(f"the hook's rates stay as they are: {described(error)}")


class RateFile:
    """A TOML file with `rate` and a table `[segments]`.

    Attributes:
        rates: What it said last, when it could be understood; None where it never could.
    """

    def __init__(self, path: Path, log: Log) -> None:
        self.rates: Rates | None = None
        self._path, self._log = path, log
        self._text: bytes | None = None
        self._trouble = ""

    def look(self) -> None:
        """Take what it says, if that is new and can be understood."""
        seen, self._text = self._text, None
        try:
            # Its text, not its time of change: two writes within one tick of the file system's clock
            # have the same time, and the second would never be seen.
            self._text = _read(self._path)
            if self._text != seen:
                self.rates = _rates_in(self._text)
                self._say("")
        except OSError as error:
            self._say(f"cannot be read ({error.strerror})")
        except (SettingsError, ValueError) as error:  # ValueError: no UTF-8, no TOML
            self._say(f"cannot be used ({error})")

    def _say(self, trouble: str) -> None:
        """Once for each change: that there is trouble, of which kind, and that it is over."""
        if trouble != self._trouble:
            self._trouble = trouble
            says = f"{trouble}; the rates stay as they are" if trouble else "can be used again"
            self._log.change(f"the sampling file {self._path} {says}")


def _read(path: Path) -> bytes:
    """The file's bytes; a pipe or device in its place must not keep us waiting."""
    with open(path, "rb", opener=_without_waiting) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise SettingsError("it is no regular file")
        text = file.read(_LARGEST + 1)
    if len(text) > _LARGEST:
        raise SettingsError(f"it has more than {_LARGEST // 1024} KiB")
    return text


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def _rates_in(text: bytes) -> Rates:
    document = tomllib.loads(text.decode())
    for name in document:
        if name not in _KNOWN:
            raise SettingsError(f"{name} is not a setting; known: {', '.join(_KNOWN)}")
    if "rate" not in document:  # an empty file, too, which a file that is being written is for a moment
        raise SettingsError("it says no rate")
    return Rates(**document)
