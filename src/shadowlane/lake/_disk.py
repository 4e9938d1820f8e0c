"""What a failure of a folder's disk means, whoever met it: Python, or Delta in words of its own."""

from __future__ import annotations

import errno
import os
import re
from typing import NamedTuple

from shadowlane.errors import LakeError, LakeUnavailableError

_CODE = re.compile(r"\(os error (\d+)\)|Os \{ code: (\d+)")
_DECORATION = re.compile(r"\x1b\[[0-9;]*m|↳")
_FULL = "make room, or remove what is old (shadowlane lake vacuum)"


class _Fault(NamedTuple):
    reason: str
    advice: str


_AWAY = _Fault("away", "see that the file system is mounted and its server answers")
#: What may pass, mostly by somebody's hand.
_FAULTS = {
    errno.ENOSPC: _Fault("disk_full", _FULL),
    errno.EDQUOT: _Fault("disk_full", f"raise the quota, {_FULL}"),
    errno.EROFS: _Fault(
        "read_only",
        "mount the file system so that it can be written; one whose disk fails often turns read-only",
    ),
    errno.EACCES: _Fault("no_permission", "let this user write there"),
    errno.EPERM: _Fault("no_permission", "let this user write there"),
    errno.EIO: _Fault("disk_error", "the disk fails: see the system's log"),
    **dict.fromkeys(
        (
            errno.ESTALE,
            errno.ETIMEDOUT,
            errno.EHOSTDOWN,
            errno.EHOSTUNREACH,
            errno.ENETDOWN,
            errno.ENETUNREACH,
            errno.ECONNREFUSED,
            errno.ECONNRESET,
            errno.ENOTCONN,
            errno.ENODEV,
            errno.ENXIO,
        ),
        _AWAY,
    ),
}


def disk_error(error: BaseException, doing: str) -> LakeError:
    """An error of files or of Delta as ours: one that may pass, or one that cannot by itself."""
    code = _code(error)
    fault = _FAULTS.get(code)
    if fault is None:
        return LakeError(f"cannot {doing}: {_plain(error)}")
    what = os.strerror(code) + _where(error)
    return LakeUnavailableError(f"cannot {doing}: {what}; {fault.advice}", reason=fault.reason)


def _code(error: BaseException) -> int:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    found = _CODE.search(str(error))
    return int(found[1] or found[2]) if found else 0


def _where(error: BaseException) -> str:
    return f" ({error.filename})" if isinstance(error, OSError) and error.filename else ""


def _plain(error: BaseException) -> str:
    """Without colours, on one line."""
    return " ".join(_DECORATION.sub(" ", str(error)).split())
