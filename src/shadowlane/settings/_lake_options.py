"""The table `[lake_options]`: what it takes to reach an object store, beyond what its variables say.

Two clients reach it: Delta's, for the log, and our own, for the files. Both read the usual variables of
the store (`AWS_*`, `GOOGLE_*`, `AZURE_*`), and both get these options over them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from shadowlane.settings._sources import Sources, check_names

TABLE = "lake_options"


class Store(NamedTuple):
    """An object store: what its variables begin with, and its options by kind."""

    prefix: str
    texts: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()


STORES: Mapping[str, Store] = {
    "s3": Store(
        "AWS_",
        texts=("region", "endpoint", "access_key_id", "server_side_encryption", "sse_kms_key_id"),
        secrets=("secret_access_key", "session_token"),
        flags=("virtual_hosted_style_request", "sse_bucket_key_enabled"),
    ),
    "gs": Store(
        "GOOGLE_",
        paths=("service_account", "application_credentials"),
        secrets=("service_account_key",),
    ),
    "az": Store(
        "AZURE_STORAGE_",
        texts=("account_name", "endpoint", "client_id", "tenant_id"),
        secrets=("account_key", "sas_key", "client_secret"),
        flags=("use_emulator",),
    ),
}
#: What every store's client takes.
FLAGS = ("allow_http",)
SECONDS = ("connect_timeout", "timeout", "retry_timeout")
COUNTS = ("max_retries",)

#: A store that fails is told of within a minute, not after the clients' own three: whoever waits for it
#: has other duties.
BOUNDS: Mapping[str, str] = {
    "connect_timeout": "5000ms",
    "timeout": "30000ms",
    "retry_timeout": "20000ms",
    "max_retries": "10",
    "backoff_config.init_backoff": "100ms",
    "backoff_config.max_backoff": "2000ms",
}
#: A commit is a put that fails where a file is already. Nothing that the environment says for another
#: program may make it one that overwrites.
_SAFE_COMMITS = {"AWS_CONDITIONAL_PUT": "etag", "AWS_S3_ALLOW_UNSAFE_RENAME": "false"}


def option_names() -> list[str]:
    """Every option of every store: a file may hold those of a store in which this lake is not."""
    return sorted({*_client_names(), *(name for store in STORES.values() for name in _names(store))})


def secret_options() -> set[str]:
    """Which options are secret, in the names that Delta takes."""
    return {_full(store, name) for store in STORES.values() for name in store.secrets}


def read_options(scheme: str, sources: Sources) -> dict[str, str]:
    """A store's options, in the names that Delta takes.

    Raises:
        SettingsError: an option is none, or not what it must be.
    """
    check_names([*sources.arguments, *sources.table], option_names(), sources.title.strip() or "options")
    store = STORES[scheme]
    own = {_full(store, name): value for name, value in _own(store, sources)}
    client = dict(_client(sources))
    given = {name: value for name, value in (own | client).items() if value is not None}
    return {**BOUNDS, **given, **(_SAFE_COMMITS if scheme == "s3" else {})}


def _own(store: Store, sources: Sources) -> Iterator[tuple[str, str | None]]:
    for name in store.texts:
        yield name, sources.text(name)
    for name in store.paths:
        yield name, sources.path(name)
    for name in store.secrets:
        secret = sources.secret(name)
        yield name, None if secret is None else secret.reveal()
    for name in store.flags:
        yield name, _flag(sources.flag(name))


def _client(sources: Sources) -> Iterator[tuple[str, str | None]]:
    for name in FLAGS:
        yield name, _flag(sources.flag(name))
    for name in SECONDS:
        seconds = sources.number(name)
        yield name, None if seconds is None else f"{round(seconds * 1000)}ms"
    for name in COUNTS:
        count = sources.number(name)
        yield name, None if count is None else str(round(count))


def _flag(value: bool | None) -> str | None:  # noqa: FBT001 - a value, not a switch
    return None if value is None else str(value).lower()


def _names(store: Store) -> list[str]:
    files = [f"{name}_file" for name in store.secrets]
    return [*store.texts, *store.paths, *store.secrets, *files, *store.flags]


def _client_names() -> list[str]:
    return [*FLAGS, *SECONDS, *COUNTS]


def _full(store: Store, name: str) -> str:
    return f"{store.prefix}{name}".upper()
