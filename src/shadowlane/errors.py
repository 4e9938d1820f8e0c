"""Every error of shadowlane, under one root.

ShadowlaneError
├── SettingsError            a setting is wrong, unknown or missing
├── MissingExtraError        a feature needs an extra that is not installed
├── CodecError               bytes that are not the event they should be
│   ├── CorruptMessageError          the frame is ours, the body is not what it says
│   ├── ForeignMessageError          no frame of ours at the start
│   └── UnknownSchemaError           a frame of ours with a fingerprint or id nobody knows
├── KafkaFailedError         Kafka refused or failed (mapped from librdkafka at one boundary)
│   ├── BrokerUnreachableError
│   ├── NotAuthorizedError
│   ├── TopicMissingError
│   ├── MessageTooLargeError
│   ├── FencedError                  another process took over this transactional id
│   └── TransactionAbortedError      the transaction must be done again
├── ModelError               the shadow model could not be loaded or called
├── TransientError           a look-up of features failed and may succeed in a moment
├── LabelFileError           a file of labels cannot be read, or rows in it are none
├── SuiteFileError           a regression suite cannot be read or written
└── LakeError                the lake cannot be read or written as it must be
    ├── LakeUnavailableError         it may pass by itself: wait, and try again
    └── DamagedLakeError             a file is missing, cut or altered: no figures from it
"""

from __future__ import annotations

from dataclasses import dataclass


class ShadowlaneError(Exception):
    """The root: catch this to catch all that shadowlane raises."""


class SettingsError(ShadowlaneError):
    """A setting is wrong, unknown or missing."""


class MissingExtraError(ShadowlaneError):
    """A feature needs an extra that is not installed."""

    def __init__(self, extra: str, feature: str) -> None:
        self.extra, self.feature = extra, feature
        super().__init__(extra, feature)

    def __str__(self) -> str:
        return f"{self.feature} needs an extra: pip install 'shadowlane[{self.extra}]'"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a message lies in Kafka."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]@{self.offset}"


class CodecError(ShadowlaneError):
    """Bytes that are not the event they should be; says where they lie, where that is known."""

    def __init__(self, reason: str, place: Place | None = None) -> None:
        self.reason, self.place = reason, place
        super().__init__(reason, place)

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}" if self.place else self.reason


class CorruptMessageError(CodecError):
    """The frame is ours; the body is cut, too long or not what the schema says."""


class ForeignMessageError(CodecError):
    """The bytes do not start with a frame that shadowlane knows."""


class UnknownSchemaError(CodecError):
    """A frame of ours, with a fingerprint or schema id that nobody here knows."""


class KafkaFailedError(ShadowlaneError):
    """Kafka refused or failed."""


class BrokerUnreachableError(KafkaFailedError):
    """No broker answered."""


class NotAuthorizedError(KafkaFailedError):
    """The broker knows us and says no, or does not know us."""


class TopicMissingError(KafkaFailedError):
    """The topic or partition does not exist."""


class MessageTooLargeError(KafkaFailedError):
    """A message is larger than the topic or the client takes."""


class FencedError(KafkaFailedError):
    """Another process took over: this one must stop."""


class TransactionAbortedError(KafkaFailedError):
    """The transaction was aborted: its work must be done again from the last commit."""


class ModelError(ShadowlaneError):
    """The shadow model could not be loaded or called."""


class TransientError(ShadowlaneError):
    """Raised by a look-up of features for what may pass in a moment: it is tried again."""


class LabelFileError(ShadowlaneError):
    """A file of labels cannot be read, or rows in it are none."""


class SuiteFileError(ShadowlaneError):
    """A regression suite cannot be read or written."""


class LakeError(ShadowlaneError):
    """The lake cannot be read or written as it must be."""


class LakeUnavailableError(LakeError):
    """The lake cannot be reached or written for now: a full disk, a store that answers late or not at all."""

    def __init__(self, *args: object, reason: str = "away") -> None:
        #: In a word, for a metric's label.
        self.reason = reason
        super().__init__(*args)


class DamagedLakeError(LakeError):
    """A file of the lake is missing, cut or altered: no figures are drawn from it."""
