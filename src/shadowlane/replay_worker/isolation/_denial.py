"""What a model's process may not do: refused and recorded for Python code, and by the kernel for all other.

Both are in force before the model is loaded. Python's audit hooks see each attempt of Python code and what
it is about; the kernel's own means (`_kernel.py`) refuse native code, and what the process starts.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, Self

from shadowlane.errors import ModelError
from shadowlane.replay_worker.isolation import _kernel

log = logging.getLogger(__name__)

NETWORK, WRITE, PROCESS = "network", "write", "process"
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_MOST_NAMED = 100
_SELF_TEST = "shadowlane.denial"

Check = Callable[[tuple[Any, ...]], None]


class Denial:
    """Refuses, counts, and says once what each attempt was about."""

    def __init__(self, roots: Sequence[str] = ()) -> None:
        self.counts: Counter[str] = Counter()
        self.strength = ""
        self._roots = [os.path.realpath(root) for root in roots]
        self._named: set[tuple[str, str]] = set()
        self._checks: dict[str, Check] = {}

    @classmethod
    def of(cls, isolation: Mapping[str, Any]) -> Self:
        """Put in force what is asked for; it holds until the process ends.

        Raises:
            ModelError: that cannot be done here.
        """
        roots = [*_kernel.WRITABLE, isolation["scratch"]] if isolation["deny_writes"] else []
        denial, strength, is_kernel = cls(roots), [], True
        if isolation["deny_network"]:
            by_kernel = _kernel.deny_network()
            denial._checks |= _network_checks(denial)
            strength.append(_strength("network", "seccomp", is_refused=by_kernel))
            is_kernel &= by_kernel
        if isolation["deny_writes"]:
            by_kernel = _kernel.deny_writes(roots)
            denial._checks |= _write_checks(denial)
            strength.append(_strength("writes", "Landlock", is_refused=by_kernel))
            is_kernel &= by_kernel
        if strength:
            # What is started has no audit hook of ours: only the kernel holds it.
            denial._checks |= {} if is_kernel else _process_checks(denial)
            denial._listen()
        denial.strength = "; ".join(strength)
        return denial

    def refuse(self, kind: str, option: str, target: str) -> NoReturn:
        """Refuse one attempt.

        Raises:
            PermissionError: always.
        """
        self.counts[kind] += 1
        if (kind, target) not in self._named and len(self._named) < _MOST_NAMED:
            self._named.add((kind, target))
            log.warning("refused to the model by %s: %s", option, target)
        raise PermissionError(errno.EACCES, f"refused by {option}")

    def may_write(self, path: Any) -> bool:
        """Whether it lies where the model may write; what is open already (a number) it may write to."""
        if isinstance(path, int):
            return True
        real = os.path.realpath(os.fsdecode(path))
        return any(real == root or real.startswith(root + os.sep) for root in self._roots)

    def _listen(self) -> None:
        """Hook into the interpreter.

        Raises:
            ModelError: it does not let us.
        """
        heard: list[tuple[Any, ...]] = []
        checks = self._checks | {_SELF_TEST: heard.append}

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            check = checks.get(event)
            if check is not None:
                check(arguments)

        sys.addaudithook(hook)
        sys.audit(_SELF_TEST)
        if not heard:
            raise ModelError(
                "this Python has no audit hooks, so --deny-network and --deny-writes cannot be kept"
            )


def _network_checks(denial: Denial) -> dict[str, Check]:
    def refuse(what: str) -> Check:
        def check(arguments: tuple[Any, ...]) -> None:
            *_, address = arguments
            if address is not None:  # None: a socket that is connected already, as our own line is
                denial.refuse(NETWORK, "--deny-network", f"{what} {_address(address)}")

        return check

    def look_up(arguments: tuple[Any, ...]) -> None:
        host, *port = arguments[:2]
        denial.refuse(NETWORK, "--deny-network", f"look-up of {_address((host, *port))}")

    names = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr")
    return {
        "socket.connect": refuse("connection to"),
        "socket.sendto": refuse("message to"),
        "socket.sendmsg": refuse("message to"),
        **dict.fromkeys(names, look_up),
    }


def _write_checks(denial: Denial) -> dict[str, Check]:
    def write(path: Any) -> None:
        if not denial.may_write(path):
            denial.refuse(WRITE, "--deny-writes", f"write to {os.fsdecode(path)}")

    def opened(arguments: tuple[Any, ...]) -> None:
        path, mode, flags = arguments
        if flags & _WRITING or (isinstance(mode, str) and set(mode) & set("wax+")):
            write(path)

    def first(arguments: tuple[Any, ...]) -> None:
        write(arguments[0])

    def second(arguments: tuple[Any, ...]) -> None:
        write(arguments[1])

    def both(arguments: tuple[Any, ...]) -> None:
        first(arguments)
        second(arguments)

    ones = ("remove", "mkdir", "rmdir", "truncate", "chmod", "chown", "utime", "setxattr", "removexattr")
    return {
        "open": opened,
        **{f"os.{name}": first for name in ones},
        "os.rename": both,
        "os.link": second,
        "os.symlink": second,
    }


def _process_checks(denial: Denial) -> dict[str, Check]:
    def check(_arguments: tuple[Any, ...]) -> None:
        denial.refuse(PROCESS, "--deny-network or --deny-writes", "start of another program")

    names = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn")
    return dict.fromkeys(names, check)


def _address(address: Any) -> str:
    """A host with its port, or a socket's path."""
    if isinstance(address, tuple):
        return ":".join(_text(part) for part in address[:2] if part is not None)
    return _text(address)


def _text(part: Any) -> str:
    return os.fsdecode(part) if isinstance(part, bytes) else str(part)


def _strength(what: str, means: str, *, is_refused: bool) -> str:
    if is_refused:
        return f"{what} refused by the kernel ({means})"
    return f"{what} refused to Python code only (no {means} here), and no other program is started"
