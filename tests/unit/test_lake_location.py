"""Where a lake may be, and the table `[lake_options]`."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from shadowlane.errors import SettingsError
from shadowlane.settings import Location, Settings

CANARY = "canary-4b1f"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def options(**env: str) -> dict[str, str]:
    """What Delta is given for the lake of the settings file here, or of the environment."""
    return dict(Settings.load(env=env).lake.options)


@pytest.mark.parametrize(
    ("text", "folder"),
    [
        ("lake", "lake"),
        ("./lake/", "lake"),
        ("my lake/ä", "my lake/ä"),
        ("a/../lake", "a/../lake"),
        ("50%/lake#1?", "50%/lake#1?"),
    ],
)
def test_a_folder_is_taken_as_it_is_written(text: str, folder: str) -> None:
    """Relative to the current folder, with whatever a folder's name may hold."""
    location = Location.parse(text)
    assert location.folder == Path(folder).absolute()
    assert location.table("errors") == f"{Path(folder).absolute()}/errors"


def test_home_is_expanded() -> None:
    """A shell does not, after an equals sign."""
    assert Location.parse("~/lake").folder == Path.home() / "lake"


def test_a_file_url_is_its_folder() -> None:
    """With what a URL writes in its own way."""
    assert Location.parse("file:///srv/my%20lake").folder == Path("/srv/my lake")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/", "s3://bucket"),
        ("S3://bucket/a/b//", "s3://bucket/a/b"),
        ("gs://my_bucket.example/lake", "gs://my_bucket.example/lake"),
        ("az://container/team=a/lake-1", "az://container/team=a/lake-1"),
    ],
)
def test_a_url_is_taken_without_slashes_at_its_end(text: str, url: str) -> None:
    """A bucket alone is a lake too."""
    location = Location.parse(text)
    assert (location.url, location.folder) == (url, None)
    assert location.table("errors") == f"{url}/errors"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "name a folder"),
        ("  ", "name a folder"),
        ("a\0b", "name a folder"),
        ("hdfs://host/lake", r"hdfs://….*s3://…, gs://…, az://…"),
        ("abfss://container@account/lake", "abfss://…: a lake is a folder"),
        ("a%20b/lake", "% before two digits"),
        ("a\\\\b", "a backslash"),
        ("s3:/bucket/lake", "begins with s3://"),
        ("s3:bucket", "begins with s3://"),
        ("file://host/lake", "three slashes"),
        ("s3://", "no name of a bucket"),
        ("s3:///lake", "no name of a bucket"),
        ("s3://b ucket/lake", "no name of a bucket"),
        ("s3://-bucket/lake", "no name of a bucket"),
        ("s3://bucket/../other", "no step up"),
        ("s3://bucket/a/./b", "no step up"),
        ("s3://bucket/a//b", "between single slashes"),
        ("s3://bucket/my lake", "'my lake' cannot be a folder there"),
        ("s3://bucket/%2e%2e/x", "cannot be a folder there"),
        ("s3://bucket/*", "cannot be a folder there"),
    ],
)
def test_what_can_be_no_lake_is_refused(text: str, message: str) -> None:
    """In words that say what to write."""
    with pytest.raises(SettingsError, match=message):
        Location.parse(text)


def test_a_path_that_was_a_url_is_noticed() -> None:
    """`Path` makes one slash of two: a folder called s3: would be filled."""
    with pytest.raises(SettingsError, match="begins with s3://"):
        Location.parse(Path("s3://bucket/lake"))


@pytest.mark.parametrize(
    "text",
    [
        f"s3://key:{CANARY}@bucket/lake",
        f"https://key:{CANARY}@host/lake",
        f"az://container/lake?sig={CANARY}",
        f"gs://bucket/lake#{CANARY}",
    ],
)
def test_a_secret_in_a_url_is_refused_and_not_repeated(text: str) -> None:
    """URLs are logged, shown and passed on."""
    with pytest.raises(SettingsError) as failure:
        Location.parse(text)
    assert CANARY not in str(failure.value)


def test_options_come_from_the_file_the_environment_and_secret_files() -> None:
    """Key by key, the environment over the file; what is not said has bounds of ours."""
    Path("key").write_text(f"{CANARY}\n")
    Path("shadowlane.toml").write_text(
        "lake = 's3://bucket/lake'\n[lake_options]\nendpoint = 'http://minio:9000'\nregion = 'eu-1'\n"
        "access_key_id = 'me'\nsecret_access_key_file = 'key'\nallow_http = true\ntimeout = 12.5\n"
        "max_retries = 2\n"
    )
    given = options(SHADOWLANE_LAKE_REGION="eu-2", SHADOWLANE_LAKE_RETRY_TIMEOUT="7")
    assert given["AWS_REGION"] == "eu-2"
    assert given["AWS_ENDPOINT"] == "http://minio:9000"
    assert given["AWS_SECRET_ACCESS_KEY"] == CANARY
    assert (given["allow_http"], given["timeout"], given["retry_timeout"]) == ("true", "12500ms", "7000ms")
    assert (given["max_retries"], given["connect_timeout"]) == ("2", "5000ms")
    assert given["AWS_S3_ALLOW_UNSAFE_RENAME"] == "false"


def test_paths_in_options_start_from_their_file() -> None:
    """As all paths of the settings do."""
    Path("conf").mkdir()
    Path("conf/a.toml").write_text(
        "lake = 'gs://bucket/lake'\n[lake_options]\nservice_account = 'account.json'\n"
    )
    location = Settings.load(config="conf/a.toml", env={}).lake
    assert location.options["GOOGLE_SERVICE_ACCOUNT"] == "conf/account.json"


def test_a_folder_takes_no_options() -> None:
    """A lake here for a try, beside a file that is set up for the store."""
    Path("shadowlane.toml").write_text("lake = 's3://bucket'\n[lake_options]\nregion = 'eu-1'\n")
    assert not Settings.load(lake="./lake", env={}).lake.options


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("regon = 'x'", r"\[lake_options\]: regon is not a setting; did you mean region\?"),
        ("allow_unsafe_rename = true", "is not a setting"),
        ("allow_http = 'maybe'", r"\[lake_options\] allow_http: must be true or false"),
        ("timeout = 'long'", r"\[lake_options\] timeout: must be a number"),
        ("timeout = -1", "must be a number of 0 or more"),
        ("timeout = inf", "must be a number of 0 or more"),
        ("region = 3", r"\[lake_options\] region: must be text"),
        ("secret_access_key = 'a'\nsecret_access_key_file = 'b'", "keep one of them"),
        ("secret_access_key_file = 'not-there'", "not-there cannot be read"),
    ],
)
def test_a_wrong_option_is_named(toml: str, message: str) -> None:
    """With its file and table, and the nearest right one."""
    Path("shadowlane.toml").write_text(f"lake = 's3://bucket'\n[lake_options]\n{toml}\n")
    with pytest.raises(SettingsError, match=message):
        Settings.load(env={})


def test_secrets_are_never_shown() -> None:
    """Not by the settings, the location, or an error's text that passed through it."""
    env = {"SHADOWLANE_LAKE": "s3://bucket/lake", "SHADOWLANE_LAKE_SECRET_ACCESS_KEY": CANARY}
    settings = Settings.load(env=env)
    shown = f"{settings} {settings.lake} {settings.lake!r}"
    assert CANARY not in shown
    said = settings.lake.scrub(
        f"denied {CANARY} at https://host/x?sv=1&sig=abc%2Fd&se=2 and X-Amz-Signature=9f"
    )
    assert said == "denied *** at https://host/x?sv=1&sig=***&se=2 and X-Amz-Signature=***"


def test_a_location_travels_to_other_processes() -> None:
    """With its options, which its equality does not look at."""
    location = Location.parse("s3://bucket/lake", {"region": "eu-1"})
    copy = pickle.loads(pickle.dumps(location))
    assert (copy, copy.options) == (location, location.options)
    assert Location.parse(location) is location
