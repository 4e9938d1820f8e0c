"""How to reach Kafka: brokers, TLS, SASL and whatever else librdkafka takes."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from shadowlane.errors import SettingsError
from shadowlane.settings._secret import Secret, scrub
from shadowlane.settings._sources import Document, Sources, check_names

if TYPE_CHECKING:
    from pathlib import Path

PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "GSSAPI", "OAUTHBEARER")
WITH_PASSWORD = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
SECRETS = ("sasl_password", "ssl_key_password")
KEYS = (
    *("bootstrap_servers", "security_protocol", "topic_prefix", "client"),
    *("sasl_mechanism", "sasl_username", "sasl_password", "sasl_password_file"),
    *("ssl_ca_location", "ssl_certificate_location", "ssl_key_location"),
    *("ssl_key_password", "ssl_key_password_file"),
)
#: librdkafka properties that have a setting of their own, which must be the one place to say them.
OWN_PROPERTIES = {key.replace("_", "."): key for key in KEYS if not key.endswith("_file")} | {
    "metadata.broker.list": "bootstrap_servers",
    "sasl.mechanisms": "sasl_mechanism",
}
#: What exactly-once processing depends on: the stages set these, and a user's file may not undo them.
NOT_FOR_USERS = {
    *("group.id", "transactional.id", "isolation.level"),
    *("enable.auto.commit", "enable.auto.offset.store", "enable.partition.eof"),
}
#: Without a ceiling a lost broker is dialled ten times a second for ever.
BACK_OFF = {"reconnect.backoff.ms": "250", "reconnect.backoff.max.ms": "10000"}
ADDRESS = re.compile(r"([A-Za-z_]+://)?([^\s:/,\[\]]+|\[[0-9a-fA-F:.]+\])(:\d{1,5})?")
SENSITIVE = re.compile("password|secret|pem|oauthbearer.config")
LEGAL_PREFIX = re.compile(r"[A-Za-z0-9._-]{0,100}")


@dataclass(frozen=True, slots=True)
class Tls:
    """The files of a TLS connection; all of them optional."""

    ca_location: str | None = None
    certificate_location: str | None = None
    key_location: str | None = None
    key_password: Secret | None = None


@dataclass(frozen=True, slots=True)
class Sasl:
    """Who we are, to a broker that asks."""

    mechanism: str
    username: str | None = None
    password: Secret | None = None

    def __post_init__(self) -> None:
        if self.mechanism not in MECHANISMS:
            raise SettingsError(
                f"sasl_mechanism {self.mechanism!r} is not a choice; known: {', '.join(MECHANISMS)}"
            )
        if self.mechanism in WITH_PASSWORD and not (self.username and self.password):
            raise SettingsError(
                f"sasl_mechanism {self.mechanism} needs sasl_username and sasl_password (or its _file)"
            )


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """A connection to Kafka. `client` takes any librdkafka property, verbatim; it is never printed."""

    bootstrap_servers: str = "localhost:9092"
    security_protocol: str = ""
    tls: Tls = Tls()
    sasl: Sasl | None = None
    client: Mapping[str, str] = field(default_factory=dict, repr=False, hash=False)
    topic_prefix: str = ""

    def __post_init__(self) -> None:
        # Credentials without a protocol mean an encrypted one: a password never goes out in the clear
        # because somebody forgot a line.
        safe = ("SASL_SSL" if self.sasl else "SSL") if self.sasl or self.tls != Tls() else "PLAINTEXT"
        object.__setattr__(self, "security_protocol", self.security_protocol or safe)
        _check(self)

    @classmethod
    def load(
        cls, *, config: str | Path | None = None, env: Mapping[str, str] = os.environ, **overrides: Any
    ) -> Self:
        """Read the settings; `overrides` (by the names of the TOML keys) that are None count as not given."""
        return cls.from_document(Document.read(config, env), env, overrides)

    @classmethod
    def from_document(
        cls, document: Document, env: Mapping[str, str], overrides: Mapping[str, object]
    ) -> Self:
        """Read the settings from a file that is already open."""
        table = document.table("kafka")
        check_names(overrides, KEYS, "arguments")
        check_names(table, KEYS, f"{document.path}: [kafka]")
        sources = Sources(overrides, env, document.path, table, "[kafka] ")
        given = {
            "bootstrap_servers": sources.text("bootstrap_servers"),
            "security_protocol": sources.choice("security_protocol", PROTOCOLS),
            "topic_prefix": sources.text("topic_prefix"),
        }
        return cls(
            **{name: value for name, value in given.items() if value is not None},
            tls=_tls(sources),
            sasl=_sasl(sources),
            client=_client(sources),
        )

    @property
    def secrets(self) -> list[Secret]:
        """What no message may contain: passwords, and the `client` properties that hold keys or tokens."""
        named = [self.tls.key_password, self.sasl and self.sasl.password]
        hidden = [
            Secret(v) for k, v in self.client.items() if re.search("password|secret|pem|jaas|config", k)
        ]
        return [secret for secret in named if secret] + hidden

    def scrub(self, text: str) -> str:
        """The text without any secret of these settings."""
        return scrub(text, self.secrets)

    def client_config(self) -> dict[str, Any]:
        """The librdkafka properties of any client, secrets included: not for printing."""
        return {
            "bootstrap.servers": self.bootstrap_servers,
            "security.protocol": self.security_protocol,
            **BACK_OFF,
            **_tls_config(self.tls),
            **({} if self.sasl is None else _sasl_config(self.sasl)),
            **self.client,
        }


def _check(settings: KafkaSettings) -> None:
    for address in settings.bootstrap_servers.split(","):
        if not ADDRESS.fullmatch(address.strip()):
            raise SettingsError(
                f"bootstrap_servers {settings.bootstrap_servers!r} must be host:port, or several with commas"
            )
    protocol = settings.security_protocol
    if protocol not in PROTOCOLS:
        raise SettingsError(f"security_protocol {protocol!r} is not a choice; known: {', '.join(PROTOCOLS)}")
    if protocol.startswith("SASL") != (settings.sasl is not None):
        raise SettingsError(
            f"security_protocol {protocol} and the sasl_* settings do not fit: "
            "SASL_SSL and SASL_PLAINTEXT need sasl_mechanism, the others take none"
        )
    if not LEGAL_PREFIX.fullmatch(settings.topic_prefix):
        raise SettingsError(f"topic_prefix {settings.topic_prefix!r}: letters, digits, '.', '_' and '-' only")
    for name in settings.client:
        if name in OWN_PROPERTIES:
            raise SettingsError(f"[kafka.client] {name}: say it as {OWN_PROPERTIES[name]} in [kafka]")
        if name in NOT_FOR_USERS:
            raise SettingsError(f"[kafka.client] {name}: shadowlane sets it by itself; take it out")


def _tls(sources: Sources) -> Tls:
    ca = sources.text("ssl_ca_location")
    return Tls(
        ca if ca == "probe" else sources.path("ssl_ca_location"),
        sources.path("ssl_certificate_location"),
        sources.path("ssl_key_location"),
        sources.secret("ssl_key_password"),
    )


def _sasl(sources: Sources) -> Sasl | None:
    mechanism = sources.choice("sasl_mechanism", MECHANISMS)
    username, password = sources.text("sasl_username"), sources.secret("sasl_password")
    if mechanism is None and (username or password):
        raise SettingsError(
            f"sasl_username and sasl_password need sasl_mechanism; known: {', '.join(MECHANISMS)}"
        )
    return None if mechanism is None else Sasl(mechanism, username, password)


def _client(sources: Sources) -> dict[str, str]:
    found = sources.find("client") if sources.arguments.get("client") or "client" in sources.table else None
    if found is None:
        return {}
    if not isinstance(found.value, Mapping):
        raise SettingsError(f"{found.where}: must be a table of librdkafka properties")
    return dict(_flat(found.value))


def _flat(table: Mapping[str, object], prefix: str = "") -> list[tuple[str, str]]:
    """Properties by their dotted names: in TOML, `socket.timeout.ms = 1` without quotes makes tables."""
    pairs: list[tuple[str, str]] = []
    for name, value in table.items():
        if isinstance(value, Mapping):
            pairs += _flat(value, f"{prefix}{name}.")
        else:
            pairs.append((prefix + name, str(value).lower() if isinstance(value, bool) else str(value)))
    return pairs


def _tls_config(tls: Tls) -> dict[str, str]:
    given = {
        "ssl.ca.location": tls.ca_location,
        "ssl.certificate.location": tls.certificate_location,
        "ssl.key.location": tls.key_location,
        "ssl.key.password": tls.key_password and tls.key_password.reveal(),
    }
    return {name: value for name, value in given.items() if value}


def _sasl_config(sasl: Sasl) -> dict[str, str]:
    given = {
        "sasl.mechanism": sasl.mechanism,
        "sasl.username": sasl.username,
        "sasl.password": sasl.password and sasl.password.reveal(),
    }
    return {name: value for name, value in given.items() if value}
