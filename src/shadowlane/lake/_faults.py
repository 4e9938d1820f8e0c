"""What a lake's failure means: that it passes, or that somebody has to do something; in one line."""

from __future__ import annotations

import re

from shadowlane.errors import LakeError, LakeUnavailableError
from shadowlane.lake._disk import disk_error
from shadowlane.lake._location import Location

_DECORATION = re.compile(
    r"\x1b\[[0-9;]*m|↳|Debug source:.*|Traceback \(most recent call last\):.*\n(?=\w+: )", re.DOTALL
)
_STATUS = re.compile(r"status code:? ?(\d{3})")
_CODE = re.compile(r"<Code>(\w{1,60})</Code>|\"(?:reason|error)\": ?\"(\w{1,60})\"")
_BODY = re.compile(r"<(\?xml|Error|html|!DOCTYPE).*", re.IGNORECASE)
_INSTANCE_METADATA = ("169.254.", "metadata.google.internal")
#: What both clients say of a URL that they did not send anything to.
_NOT_ASKED = "builder error"
_TRANSPORT = re.compile(
    r"Generic (S3|GCS|MicrosoftAzure|HTTP client) error|HTTP error|error sending request|timed out|onnection"
)
_THROTTLED = ("429", "503")
_LONGEST = 400

_ADVICE = {
    "301": "the bucket is in another region: say which (AWS_REGION, or region in [lake_options])",
    "400": "the store does not understand the request: check region, endpoint and keys",
    "401": "the store does not know these credentials",
    "403": "the store refuses these credentials, or they may not do this (see docs/lake-cloud.md)",
    "404": "there is no such bucket or container: make it first, and check the endpoint",
}


def to_lake_error(error: BaseException, doing: str, location: Location) -> LakeError:
    """An error of files or of Delta as ours: one that may pass by itself, or one that needs somebody."""
    if location.folder is not None:
        return disk_error(error, f"{doing} {location}")
    text, status = _one_line(error), _status(error)
    start, said = f"cannot {doing} {location}", explain(error, location)
    if any(host in text for host in _INSTANCE_METADATA):
        return LakeError(f"{start}: no credentials were found in the environment or in [lake_options]")
    if status is None and _NOT_ASKED in text:
        return LakeError(
            f"{start}: the endpoint cannot be asked: plain http:// needs allow_http = true in [lake_options] "
            "(or AWS_ALLOW_HTTP=true); else it begins with https://"
        )
    if status in _ADVICE:
        return LakeError(f"{start}: {_ADVICE[status]}; it said: {said}")
    if status or _TRANSPORT.search(text):
        reason = "throttled" if status in _THROTTLED else "away"
        return LakeUnavailableError(f"{start} for now: {said}", reason=reason)
    return LakeError(f"{start}: {said}")


def is_outage(error: BaseException, location: Location) -> bool:
    """Whether the files could not be got at, rather than not be made sense of."""
    if location.folder is not None:
        return isinstance(disk_error(error, ""), LakeUnavailableError)
    text = _one_line(error)
    answer = _STATUS.search(text)
    return answer[1] != "404" if answer else _TRANSPORT.search(text) is not None


def explain(error: BaseException, location: Location) -> str:
    """What went wrong, without colours, pages of XML and secrets."""
    text = _one_line(error)
    code = _CODE.search(text)
    start = f"{code[1] or code[2]}: " if code else ""
    return location.scrub(start + _BODY.sub("", text))[:_LONGEST].strip()


def _one_line(error: BaseException) -> str:
    return " ".join(_DECORATION.sub(" ", str(error)).split())


def _status(error: BaseException) -> str | None:
    """The store's answer in HTTP's numbers, where it gave one."""
    found = _STATUS.search(_one_line(error))
    if found:
        return found[1]
    if isinstance(error, FileNotFoundError):
        return "404"
    denied = isinstance(error, PermissionError) or "Permission" in type(error).__name__
    return "403" if denied or "AccessDenied" in _one_line(error) else None
