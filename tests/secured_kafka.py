"""A real Kafka that lets nobody in without TLS and a password, and the certificates for it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # exported, but not declared so
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from shadowlane.kafka import EmbeddedKafka, KafkaSettings, make_admin
from shadowlane.kafka._node import Node

USER = "shadowlane"
#: Canaries: wherever one of these turns up, a secret leaked.
PASSWORD = "canary-7f3a-password"  # noqa: S105 - a test's
WRONG_PASSWORD = "canary-91cc-mistyped"  # noqa: S105 - a test's
KEY_PASSWORD = "canary-c0de-of-the-key"  # noqa: S105 - a test's
CANARY = "canary-"

#: Java lets the last line about a property win: these come after the embedded Kafka's own.
LISTENERS = """
listeners=CLIENTS://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port},\
SECURED://127.0.0.1:{secured},MUTUAL://127.0.0.1:{mutual}
advertised.listeners=CLIENTS://127.0.0.1:{port},SECURED://127.0.0.1:{secured},MUTUAL://127.0.0.1:{mutual}
listener.security.protocol.map=CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURED:SASL_SSL,MUTUAL:SSL
ssl.keystore.type=PEM
ssl.keystore.location={certificates}/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location={certificates}/ca.pem
listener.name.mutual.ssl.client.auth=required
listener.name.secured.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.secured.plain.sasl.jaas.config=\
org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}="{password}";
listener.name.secured.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
"""


@dataclass(frozen=True, slots=True)
class Secured:
    """Where the doors of a running Kafka are, and the files that open them."""

    servers: str
    mutual_servers: str
    certificates: Path
    log: Path

    @property
    def ca(self) -> str:
        """The certificate of the authority that vouches for the broker and for its clients."""
        return str(self.certificates / "ca.pem")

    @property
    def other_ca(self) -> str:
        """The certificate of an authority that has nothing to do with the broker."""
        return str(self.certificates / "other-ca.pem")

    @property
    def by_name(self) -> str:
        """The secured door by a name that the broker's certificate does not bear."""
        return self.servers.replace("127.0.0.1", "localhost")

    def refusals(self) -> int:
        """How often it has sent somebody away so far."""
        return self.log.read_text(encoding="utf-8").count("Failed authentication")

    def keys(self, **changes: str) -> dict[str, str]:
        """The settings of `[kafka]` that let a client in, by the names of the TOML keys."""
        return {
            "bootstrap_servers": self.servers,
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_username": USER,
            "sasl_password": PASSWORD,
            "ssl_ca_location": self.ca,
        } | changes


@contextmanager
def secured_kafka(folder: Path) -> Iterator[Secured]:
    """A Kafka of which only the doors with locks are for tests; within, it talks to itself in the clear."""
    certificates = _make_certificates(folder / "certificates")
    kafka = EmbeddedKafka(folder / "kafka")
    kafka._node = node = _SecuredNode(folder / "kafka", certificates)
    with kafka:
        _make_user(KafkaSettings(kafka.bootstrap_servers))
        yield Secured(f"127.0.0.1:{node.secured}", f"127.0.0.1:{node.mutual}", certificates, kafka.log_path)


class _SecuredNode(Node):
    """A node with two more listeners."""

    def __init__(self, data_dir: Path, certificates: Path) -> None:
        super().__init__(data_dir)
        self._certificates = certificates
        self.secured = self.mutual = 0

    def prepare(self, port: int, controller_port: int) -> None:
        """Write the configuration, and the two listeners after it."""
        super().prepare(port, controller_port)
        self.secured, self.mutual = _free_ports()
        with (self.folder / "server.properties").open("a", encoding="utf-8") as file:
            file.write(
                LISTENERS.format(
                    port=port,
                    controller_port=controller_port,
                    secured=self.secured,
                    mutual=self.mutual,
                    certificates=self._certificates,
                    user=USER,
                    password=PASSWORD,
                )
            )


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]


def _make_user(settings: KafkaSettings) -> None:
    info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
    wanted = UserScramCredentialUpsertion(USER, info, PASSWORD.encode())
    admin = make_admin(settings)  # its answers end with it
    for answer in admin.alter_user_scram_credentials([wanted]).values():
        answer.result(30)


def _make_certificates(folder: Path) -> Path:
    folder.mkdir(parents=True)
    ca = trustme.CA()
    ca.cert_pem.write_to_path(folder / "ca.pem")
    trustme.CA().cert_pem.write_to_path(folder / "other-ca.pem")
    broker, client = ca.issue_cert("127.0.0.1"), ca.issue_cert("client.test")
    (folder / "broker.pem").write_bytes(_key(broker, NoEncryption()) + _chain(broker))
    (folder / "client.pem").write_bytes(_chain(client))
    (folder / "client.key").write_bytes(_key(client, BestAvailableEncryption(KEY_PASSWORD.encode())))
    return folder


def _key(certificate: trustme.LeafCert, encryption: KeySerializationEncryption) -> bytes:
    """The private key in the one form that Kafka reads."""
    key = load_pem_private_key(certificate.private_key_pem.bytes(), None)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def _chain(certificate: trustme.LeafCert) -> bytes:
    return b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
