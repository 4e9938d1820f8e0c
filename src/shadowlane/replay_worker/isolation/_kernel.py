"""The Linux kernel's own refusals, which need no privileges: seccomp for the network, Landlock for writes.

Each function puts one in force for this process and all that it starts, for good, and says whether it could.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

#: Beside its own folder a model may write here: nowhere, shared memory, its threads' names, GPUs.
WRITABLE = (
    *("/dev/null", "/dev/zero", "/dev/tty", "/dev/shm"),  # noqa: S108 - memory, no temporary file
    *("/proc/self/task", "/dev/dri", "/dev/kfd", *map(str, Path("/dev").glob("nvidia*"))),
)

_NO_NEW_PRIVILEGES = 38
_SECCOMP_FILTER, _ALL_THREADS = 1, 1
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT, _ARGUMENT = 0, 4, 16, 8
_UNIX, _INET, _INET6 = 1, 2, 10
_FOREIGN_NUMBERS = 0x40000000
_DESTINATION = 4

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION, _PATH_BENEATH = 1, 1
_WRITE_FILE, _REFER, _TRUNCATE = 1 << 1, 1 << 13, 1 << 14
_CHANGE_FOLDER = sum(1 << bit for bit in range(4, 13))
_REFER_SINCE, _TRUNCATE_SINCE = 2, 3


class _Calls(NamedTuple):
    """What seccomp calls an architecture, and that one's numbers of system calls."""

    architecture: int
    seccomp: int
    socket: int
    sendto: int
    # connect, listen, sendmsg, sendmmsg, io_uring_setup: a destination lies where the filter cannot look
    refused: tuple[int, ...]


_CALLS = {
    "x86_64": _Calls(0xC000003E, 317, 41, 44, (42, 50, 46, 307, 425)),
    "aarch64": _Calls(0xC00000B7, 277, 198, 206, (203, 201, 211, 269, 425)),
}


def deny_network() -> bool:
    """No connection to anywhere, and no message to an address; what is connected already goes on working."""
    calls = _CALLS.get(platform.machine())
    if sys.platform != "linux" or calls is None:
        return False
    program = _filter(calls)
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *each) for each in program))
    pointer = struct.pack("=H6xQ", len(program), ctypes.addressof(code))
    libc = _libc()
    if libc is None:
        return False
    return bool(libc.syscall(calls.seccomp, _SECCOMP_FILTER, _ALL_THREADS, pointer) == 0)


def deny_writes(roots: Sequence[str]) -> bool:
    """No file is written, made or removed but beneath these."""
    libc = _libc()
    if libc is None:
        return False
    version = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _ASK_VERSION)
    if version < 1:
        return False
    file = _WRITE_FILE | (_TRUNCATE if version >= _TRUNCATE_SINCE else 0)
    every = file | _CHANGE_FOLDER | (_REFER if version >= _REFER_SINCE else 0)
    rules = struct.pack("=Q", every)
    ruleset = libc.syscall(_CREATE_RULESET, rules, ctypes.c_size_t(len(rules)), 0)
    if ruleset < 0:
        return False
    try:
        for root in roots:
            with suppress(FileNotFoundError):
                _allow(libc, ruleset, root, every, file)
        return bool(libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0)
    finally:
        os.close(ruleset)


def _allow(libc: ctypes.CDLL, ruleset: int, root: str, folder: int, file: int) -> None:
    place = os.open(root, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = struct.pack("=Qi", folder if Path(root).is_dir() else file, place)
        libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0)
    finally:
        os.close(place)


def _libc() -> ctypes.CDLL | None:
    """The C library, once this process has given up ever gaining privileges: what the kernel asks for."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    return libc if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) == 0 else None


def _filter(calls: _Calls) -> list[tuple[int, int, int, int]]:
    """As classic BPF: operation, how far to go on if it is so, how far if not, operand."""
    refuse = (_RETURN, 0, 0, _ERRNO | errno.EACCES)
    allow = (_RETURN, 0, 0, _ALLOW)
    destination = _ARGUMENTS_AT + _DESTINATION * _ARGUMENT
    return [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_EQUAL, 1, 0, calls.architecture),
        refuse,
        (_LOAD, 0, 0, _NUMBER_AT),
        *((_AT_LEAST, 0, 1, _FOREIGN_NUMBERS), refuse),
        *(step for number in calls.refused for step in ((_EQUAL, 0, 1, number), refuse)),
        # A socket of a family that sends without a connection or an address.
        (_EQUAL, 0, 6, calls.socket),
        (_LOAD, 0, 0, _ARGUMENTS_AT),
        (_EQUAL, 3, 0, _UNIX),
        (_EQUAL, 2, 0, _INET),
        (_EQUAL, 1, 0, _INET6),
        refuse,
        allow,
        # A message with a destination: both halves of the pointer to it are looked at.
        (_EQUAL, 0, 5, calls.sendto),
        (_LOAD, 0, 0, destination),
        (_EQUAL, 0, 2, 0),
        (_LOAD, 0, 0, destination + 4),
        (_EQUAL, 1, 0, 0),
        refuse,
        allow,
    ]
