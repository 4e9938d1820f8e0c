"""The one boundary where librdkafka's errors become shadowlane's.

An error says what was being done, what came back, and what to do about it. It holds text alone,
so that it can be pickled on its way out of a worker process.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException

from shadowlane.errors import (
    BrokerUnreachableError,
    FencedError,
    KafkaFailedError,
    MessageTooLargeError,
    NotAuthorizedError,
    TopicMissingError,
    TransactionAbortedError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

# By name, as older clients lack some of them and newer brokers bring new ones.
FENCED = {
    *("_FENCED", "PRODUCER_FENCED", "INVALID_PRODUCER_EPOCH"),
    *("FENCED_INSTANCE_ID", "_FENCED_INSTANCE_ID", "UNRELEASED_INSTANCE_ID"),
}
NO_TLS = {"_SSL"}
REFUSED = {
    *("_AUTHENTICATION", "SASL_AUTHENTICATION_FAILED", "UNSUPPORTED_SASL_MECHANISM"),
    *("ILLEGAL_SASL_STATE", "SECURITY_DISABLED"),
    *(f"{what}_AUTHORIZATION_FAILED" for what in ("TOPIC", "GROUP", "CLUSTER", "TRANSACTIONAL_ID")),
    "DELEGATION_TOKEN_AUTHORIZATION_FAILED",
}
MISSING = {"UNKNOWN_TOPIC_OR_PART", "UNKNOWN_TOPIC_ID", "_UNKNOWN_TOPIC", "_UNKNOWN_PARTITION"}
TOO_LARGE = {"MSG_SIZE_TOO_LARGE", "RECORD_LIST_TOO_LARGE", "INVALID_MSG_SIZE"}
UNREACHABLE = {
    *("_ALL_BROKERS_DOWN", "_TRANSPORT", "_RESOLVE", "_TIMED_OUT", "_TIMED_OUT_QUEUE", "_MSG_TIMED_OUT"),
    *("_WAIT_COORD", "NETWORK_EXCEPTION", "BROKER_NOT_AVAILABLE", "REQUEST_TIMED_OUT"),
    # What a cluster says while it comes up again.
    *("NOT_COORDINATOR", "COORDINATOR_NOT_AVAILABLE", "COORDINATOR_LOAD_IN_PROGRESS"),
    *("NOT_LEADER_FOR_PARTITION", "LEADER_NOT_AVAILABLE"),
}
#: The group moved on without us. In a transaction librdkafka says that it must be aborted;
#: outside one, those partitions' work is another consumer's now.
MOVED_ON = {"ILLEGAL_GENERATION", "UNKNOWN_MEMBER_ID", "STALE_MEMBER_EPOCH", "FENCED_MEMBER_EPOCH"}

UNTRUSTED = (
    "no TLS connection; ssl_ca_location must vouch for the broker's certificate, "
    "and that must bear the name in bootstrap_servers"
)

# The order matters: what can never succeed comes before "do the transaction again", and that
# before "no broker answered", because a timeout inside a transaction also calls for an abort.
RULES: tuple[tuple[set[str], type[KafkaFailedError], str], ...] = (
    (FENCED, FencedError, "another process took over its id; this one must stop"),
    (REFUSED, NotAuthorizedError, "Kafka refused; check security_protocol, the credentials and the ACLs"),
    (NO_TLS, NotAuthorizedError, UNTRUSTED),
    (MISSING, TopicMissingError, "the topic or partition does not exist; run: shadowlane topics create"),
    (TOO_LARGE, MessageTooLargeError, "too large; raise max.message.bytes of the topic and the client"),
)
AGAIN = "the transaction was aborted; its work must be done again from the last commit"
NO_ANSWER = "no broker answered; check bootstrap_servers and that Kafka runs"
#: What librdkafka calls a lost connection, but its words tell more of.
HANGS_UP = "the broker hangs up; check security_protocol, and that Kafka runs"
WANTS_CERTIFICATE = "the broker wants a client's certificate; check ssl_certificate_location and its key"
REBALANCED = "the group gave these partitions to another consumer, which does their work again"
FATAL = "this client cannot go on; start the process again"


def moved_on(error: KafkaError) -> bool:
    """Whether the group gave our partitions to another consumer: nothing is wrong."""
    return error.name() in MOVED_ON


def to_error(error: KafkaError, doing: str) -> KafkaFailedError:
    """What a KafkaError means to us; `doing` says what was being done, as in "creating topics"."""
    kind, advice = _meaning(error)
    return kind(f"{doing}: {advice} ({error.name()}: {error.str()})")


@contextmanager
def mapped(doing: str) -> Iterator[None]:
    """Let no KafkaException out: it becomes one of `shadowlane.errors`."""
    try:
        yield
    except KafkaException as failure:
        raise to_error(_inner(failure), doing) from failure


def _meaning(error: KafkaError) -> tuple[type[KafkaFailedError], str]:
    name = error.name()
    for names, kind, advice in RULES:
        if name in names:
            return kind, advice
    if error.txn_requires_abort():
        return TransactionAbortedError, AGAIN
    if name in UNREACHABLE and not error.fatal():
        return BrokerUnreachableError, _why_lost(error.str())
    if error.fatal():
        return KafkaFailedError, FATAL
    if moved_on(error):
        return KafkaFailedError, REBALANCED
    return KafkaFailedError, "failed, and may work if tried again" if error.retriable() else "failed"


def _why_lost(text: str) -> str:
    if "alert certificate required" in text or "alert bad certificate" in text:
        return WANTS_CERTIFICATE
    return HANGS_UP if "Disconnected" in text else NO_ANSWER


def _inner(failure: KafkaException) -> KafkaError:
    first = failure.args[0] if failure.args else None
    return first if isinstance(first, KafkaError) else KafkaError(KafkaError._FAIL, str(failure))  # noqa: SLF001  # that is its name
