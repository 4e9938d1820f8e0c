"""Settings from three places, and what is said when one is wrong."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from shadowlane.errors import SettingsError
from shadowlane.settings import KafkaSettings, Sasl, Secret, Settings, Tls

CANARY = "canary-7f3a"
SASL = {"sasl_mechanism": "PLAIN", "sasl_username": "me"}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(text: str, name: str = "shadowlane.toml") -> Path:
    """A settings file in the current folder."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_defaults_need_no_file() -> None:
    """Without any source, Kafka is on this machine and the lake in this folder."""
    settings = Settings.load(env={})
    assert (settings.kafka.bootstrap_servers, settings.lake.folder) == (
        "localhost:9092",
        Path("lake").absolute(),
    )
    assert settings.kafka.security_protocol == "PLAINTEXT"


def test_arguments_beat_environment_beats_file() -> None:
    """The strongest source wins, key by key."""
    write("[kafka]\nbootstrap_servers = 'file:1'\ntopic_prefix = 'file-'\nsecurity_protocol = 'SSL'")
    env = {"SHADOWLANE_BOOTSTRAP_SERVERS": "env:2", "SHADOWLANE_TOPIC_PREFIX": "env-"}
    kafka = KafkaSettings.load(env=env, bootstrap_servers="argument:3", topic_prefix=None)
    assert (kafka.bootstrap_servers, kafka.topic_prefix, kafka.security_protocol) == (
        "argument:3",
        "env-",
        "SSL",
    )


def test_an_empty_variable_counts_as_unset() -> None:
    """Compose files set variables to nothing where their own source is unset."""
    assert KafkaSettings.load(env={"SHADOWLANE_BOOTSTRAP_SERVERS": ""}).bootstrap_servers == "localhost:9092"


def test_an_empty_lake_is_no_folder() -> None:
    """A script's `--lake "$UNSET"` must not land in the current folder."""
    with pytest.raises(SettingsError, match="name a folder"):
        Settings.load(env={}, lake="")


def test_variables_of_others_are_left_alone() -> None:
    """Kubernetes itself sets SHADOWLANE_PORT beside a service of that name."""
    KafkaSettings.load(env={"SHADOWLANE_PORT": "tcp://10.0.0.1:80", "SHADOWLANE_SERVICE_HOST": "10.0.0.1"})


def test_the_lake_may_be_a_url_or_a_path_beside_its_file() -> None:
    """A relative path starts from the file that says it; a URL stays as it is."""
    write("lake = 'data/lake'", "conf/a.toml")
    assert Settings.load(config="conf/a.toml", env={}).lake.folder == Path("conf/data/lake").absolute()
    assert str(Settings.load(lake="s3://bucket/lake", env={}).lake) == "s3://bucket/lake"


def test_the_file_can_be_named_by_the_environment() -> None:
    """SHADOWLANE_CONFIG is as good as --config."""
    write("[kafka]\nbootstrap_servers = 'there:1'", "other.toml")
    assert KafkaSettings.load(env={"SHADOWLANE_CONFIG": "other.toml"}).bootstrap_servers == "there:1"


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        (
            "[kafka]\nbootstrap_server = 'a:1'",
            r"shadowlane.toml: \[kafka\]: bootstrap_server .*bootstrap_servers",
        ),
        ("[kafak]\n", r"shadowlane.toml: kafak is not a setting; did you mean kafka\?"),
        ("lake = 3", r"shadowlane.toml: lake: must be text in quotes, not int"),
        ("kafka = 'a'", r"shadowlane.toml: kafka must be a table, written \[kafka\]"),
        (
            "[kafka]\nsecurity_protocol = 'SASL-SSL'",
            r"\[kafka\] security_protocol: .*did you mean SASL_SSL\?",
        ),
        ("[kafka]\nbootstrap_servers = 'http://a:b'", "must be host:port"),
        ("[kafka]\ntopic_prefix = 'a b'", "topic_prefix 'a b'"),
        ("[kafka", "shadowlane.toml: is not TOML"),
        ("[kafka.client]\n'bootstrap.servers' = 'a:1'", "say it as bootstrap_servers"),
        ("[kafka.client]\n'enable.auto.commit' = true", "enable.auto.commit: shadowlane sets it"),
        ("[kafka]\nclient = 3", r"\[kafka\] client: must be a table"),
    ],
)
def test_a_wrong_file_is_named_with_its_key(toml: str, message: str) -> None:
    """Each message names the file, the key, and the nearest right one."""
    write(toml)
    with pytest.raises(SettingsError, match=message):
        Settings.load(env={})


def test_a_wrong_variable_is_named() -> None:
    """A wrong value in the environment is told by its variable."""
    with pytest.raises(SettingsError, match="SHADOWLANE_SECURITY_PROTOCOL: 'TLS'"):
        KafkaSettings.load(env={"SHADOWLANE_SECURITY_PROTOCOL": "TLS"})


def test_a_wrong_argument_is_named() -> None:
    """A name that is no setting is refused rather than ignored."""
    with pytest.raises(SettingsError, match="arguments: server is not a setting"):
        KafkaSettings.load(env={}, server="a:1")


def test_a_file_that_is_asked_for_must_be_there() -> None:
    """A mistyped --config never means the defaults."""
    with pytest.raises(SettingsError, match=r"nowhere.toml: cannot be read \(No such file"):
        Settings.load(config="nowhere.toml", env={})


def test_credentials_without_a_protocol_are_encrypted() -> None:
    """Nobody sends a password in the clear by leaving out a line."""
    assert KafkaSettings.load(env={}, **SASL, sasl_password=CANARY).security_protocol == "SASL_SSL"
    assert KafkaSettings(tls=Tls(ca_location="ca.pem")).security_protocol == "SSL"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sasl_username": "me"}, "need sasl_mechanism"),
        ({"sasl_mechanism": "PLAIN"}, "needs sasl_username and sasl_password"),
        ({"security_protocol": "SASL_SSL"}, "do not fit"),
        ({**SASL, "sasl_password": CANARY, "security_protocol": "SSL"}, "do not fit"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(given: dict[str, str], message: str) -> None:
    """Half a set of credentials is an error at the start, not a refusal by the broker later."""
    with pytest.raises(SettingsError, match=message) as caught:
        KafkaSettings.load(env={}, **given)
    assert CANARY not in str(caught.value)


def test_secrets_come_from_files_too() -> None:
    """`sasl_password_file` in each source; the line's end is not part of the password."""
    write(f"{CANARY}\n", "conf/secret")
    write("[kafka]\nsasl_password_file = 'secret'", "conf/a.toml")
    expected = Secret(CANARY)
    by_argument = {**SASL, "sasl_password_file": "conf/secret"}
    for settings in (
        KafkaSettings.load(config="conf/a.toml", env={}, **SASL),
        KafkaSettings.load(env={"SHADOWLANE_SASL_PASSWORD_FILE": "conf/secret"}, **SASL),
        KafkaSettings.load(env={"SHADOWLANE_SASL_PASSWORD": "weaker"}, **by_argument),
    ):
        assert settings.sasl == Sasl("PLAIN", "me", expected)


def test_a_secret_said_twice_in_one_place_is_refused() -> None:
    """The value and its file in the same source: one of them is stale."""
    write(CANARY, "secret")
    twice = {"sasl_password": "a", "sasl_password_file": "secret"}
    with pytest.raises(SettingsError, match="keep one of them"):
        KafkaSettings.load(env={}, **SASL, **twice)


def test_a_secret_file_that_cannot_be_read_is_named() -> None:
    """Where it was said and which file it is."""
    with pytest.raises(SettingsError, match="SHADOWLANE_SASL_PASSWORD_FILE: gone cannot be read"):
        KafkaSettings.load(env={"SHADOWLANE_SASL_PASSWORD_FILE": "gone"}, **SASL)


def test_secrets_never_show() -> None:
    """In no form of printing does a password appear."""
    client = {"ssl.key.pem": f"{CANARY}-pem"}
    settings = Settings(
        KafkaSettings(
            sasl=Sasl("PLAIN", "me", Secret(CANARY)), tls=Tls(key_password=Secret(CANARY)), client=client
        )
    )
    secret = Secret(CANARY)
    shown = f"{settings} {settings!r} {settings.kafka.sasl} {secret} {secret:>9} {secret!r}"
    assert CANARY not in shown
    assert settings.kafka.scrub(f"a {CANARY}-pem b {CANARY}") == "a *** b ***"


def test_client_config_holds_what_librdkafka_needs() -> None:
    """Named settings by librdkafka's names, back-offs, and the rest verbatim."""
    write("[kafka.client]\nsocket.timeout.ms = 1000\n'log.connection.close' = false")
    settings = KafkaSettings.load(env={}, **SASL, sasl_password=CANARY, ssl_ca_location="ca.pem")
    assert settings.client_config() == {
        "bootstrap.servers": "localhost:9092",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "me",
        "sasl.password": CANARY,
        "ssl.ca.location": "ca.pem",
        "reconnect.backoff.ms": "250",
        "reconnect.backoff.max.ms": "10000",
        "socket.timeout.ms": "1000",
        "log.connection.close": "false",
    }


def test_certificates_beside_the_file_are_found() -> None:
    """Relative paths start from the file; librdkafka's word `probe` is no path."""
    write("[kafka]\nssl_ca_location = 'ca.pem'", "conf/a.toml")
    assert KafkaSettings.load(config="conf/a.toml", env={}).tls.ca_location == "conf/ca.pem"
    assert KafkaSettings.load(env={}, ssl_ca_location="probe").tls.ca_location == "probe"


def test_settings_travel_to_other_processes() -> None:
    """They are pickled into worker processes, secrets and all."""
    settings = KafkaSettings(sasl=Sasl("PLAIN", "me", Secret(CANARY)), client={"linger.ms": "5"})
    assert pickle.loads(pickle.dumps(settings)) == settings
    assert hash(settings) == hash(pickle.loads(pickle.dumps(settings)))
