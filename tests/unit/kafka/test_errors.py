"""What librdkafka's errors become."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import pytest
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
from shadowlane.kafka import mapped, to_error

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (KafkaError._ALL_BROKERS_DOWN, BrokerUnreachableError),
        (KafkaError._TRANSPORT, BrokerUnreachableError),
        (KafkaError._TIMED_OUT, BrokerUnreachableError),
        (KafkaError._MSG_TIMED_OUT, BrokerUnreachableError),
        (KafkaError._AUTHENTICATION, NotAuthorizedError),
        (KafkaError._SSL, NotAuthorizedError),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, NotAuthorizedError),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, TopicMissingError),
        (KafkaError._UNKNOWN_TOPIC, TopicMissingError),
        (KafkaError.MSG_SIZE_TOO_LARGE, MessageTooLargeError),
        (KafkaError.INVALID_PRODUCER_EPOCH, FencedError),
        (KafkaError._FENCED, FencedError),
        (KafkaError.FENCED_INSTANCE_ID, FencedError),
        (KafkaError.ILLEGAL_GENERATION, KafkaFailedError),
        (KafkaError.NOT_LEADER_FOR_PARTITION, BrokerUnreachableError),
        (KafkaError.NOT_COORDINATOR, BrokerUnreachableError),
        (KafkaError.INVALID_CONFIG, KafkaFailedError),
    ],
)
def test_each_code_has_its_class(code: int, kind: type[KafkaFailedError]) -> None:
    """Callers tell failures apart by class, readers by sentence and code."""
    error = to_error(KafkaError(code), "creating topics")
    assert type(error) is kind
    assert str(error).startswith("creating topics: ")
    assert KafkaError(code).name() in str(error)


def in_transaction(code: int) -> KafkaError:
    """An error that calls for an abort."""
    return KafkaError(code, "reason", fatal=False, retriable=False, txn_requires_abort=True)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (KafkaError._TIMED_OUT, TransactionAbortedError),
        (KafkaError.ILLEGAL_GENERATION, TransactionAbortedError),
        (KafkaError.UNKNOWN_MEMBER_ID, TransactionAbortedError),
        (KafkaError.INVALID_PRODUCER_EPOCH, FencedError),
        (KafkaError.MSG_SIZE_TOO_LARGE, MessageTooLargeError),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, NotAuthorizedError),
    ],
)
def test_a_transaction_is_done_again_only_where_that_can_help(
    code: int, kind: type[KafkaFailedError]
) -> None:
    """A rebalance or timeout asks for another try; what can never succeed does not."""
    assert type(to_error(in_transaction(code), "committing")) is kind


def test_a_fatal_error_says_so() -> None:
    """After a fatal error the client is of no more use."""
    error = KafkaError(KafkaError._TIMED_OUT, "r", fatal=True, retriable=False, txn_requires_abort=False)
    assert "start the process again" in str(to_error(error, "producing"))


@pytest.mark.parametrize(
    ("code", "text", "advice"),
    [
        (KafkaError._TRANSPORT, "Connection refused", "no broker answered; check bootstrap_servers"),
        (KafkaError._TRANSPORT, "a:1: Disconnected: closed by peer", "check security_protocol"),
        (KafkaError._TRANSPORT, "tlsv13 alert certificate required", "check ssl_certificate_location"),
        (KafkaError._SSL, "verify failed", "ssl_ca_location must vouch for the broker's certificate"),
        (KafkaError._AUTHENTICATION, "bad password", "Kafka refused; check security_protocol, the cred"),
    ],
)
def test_the_setting_to_look_at_is_named(code: int, text: str, advice: str) -> None:
    """Where librdkafka's code says little, its words tell which setting is at fault."""
    assert advice in str(to_error(KafkaError(code, text), "creating topics"))


def raise_it(failure: BaseException) -> None:
    """Something that fails."""
    raise failure


@pytest.mark.parametrize(
    "make", [lambda: KafkaException(KafkaError(KafkaError._TRANSPORT)), lambda: KafkaException("text")]
)
def test_no_kafka_exception_escapes(make: Callable[[], KafkaException]) -> None:
    """Inside the boundary both of librdkafka's shapes become ours, with the cause kept."""
    with pytest.raises(KafkaFailedError) as caught, mapped("polling"):
        raise_it(make())
    assert isinstance(caught.value.__cause__, KafkaException)


def test_other_exceptions_pass() -> None:
    """The boundary is for Kafka's errors alone."""
    with pytest.raises(KeyError), mapped("polling"):
        raise_it(KeyError("k"))


def test_errors_are_picklable() -> None:
    """They travel out of worker processes."""
    error = to_error(KafkaError(KafkaError._TRANSPORT), "polling")
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy)) == (type(error), str(error))
