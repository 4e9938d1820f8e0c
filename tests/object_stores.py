"""Object stores that run on this machine: S3 as a process of its own, and what speaks for the others.

Not in this process: Delta's client keeps the interpreter's lock while it makes some of its requests, so
that a server beside it would never answer.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from shadowlane.settings import Location

KEYS = {"access_key_id": "shadowlane-test", "secret_access_key": "canary-9d1c-of-the-store"}
#: What every emulator of Azure has; it is no secret.
AZURE_ACCOUNT = "devstoreaccount1"
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
AZURITE = "azurite-blob"
_START_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket and how to reach it."""

    url: str
    endpoint: str
    options: Mapping[str, Any] = field(repr=False)

    def location(self, prefix: str, **options: Any) -> Location:
        """A lake below a prefix."""
        return Location.parse(f"{self.url}/{prefix}", {**self.options, **options})

    def through(self, endpoint: str) -> Bucket:
        """The same bucket, by another way."""
        return Bucket(self.url, endpoint, {**self.options, "endpoint": endpoint})

    def environment(self) -> dict[str, str]:
        """The usual variables that say the same."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": KEYS["access_key_id"],
            "AWS_SECRET_ACCESS_KEY": KEYS["secret_access_key"],
        }

    def copy(self, prefix: str, folder: Path) -> None:
        """Fetch all below a prefix, with a client that none of ours has to do with."""
        client, name = s3_client(self.endpoint), self.url.partition("://")[2]
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=name, Prefix=f"{prefix}/"):
            for each in page.get("Contents", ()):
                target = folder / each["Key"].removeprefix(f"{prefix}/")
                target.parent.mkdir(parents=True, exist_ok=True)
                client.download_file(name, each["Key"], str(target))


def s3_client(endpoint: str) -> Any:
    """Another client of the same store."""
    return _client("s3", endpoint)


def _client(service: str, endpoint: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=KEYS["access_key_id"],
        aws_secret_access_key=KEYS["secret_access_key"],
        config=Config(s3={"addressing_style": "path"}),
    )


@contextmanager
def s3_store(env: Mapping[str, str] | None = None) -> Iterator[str]:
    """An S3 that keeps everything in memory; its URL."""
    port = _free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with _running(command, port, env):
        yield f"http://127.0.0.1:{port}"


def s3_bucket(endpoint: str, name: str) -> Bucket:
    """A new bucket."""
    s3_client(endpoint).create_bucket(Bucket=name)
    options = {"endpoint": endpoint, "region": "us-east-1", "allow_http": True, **KEYS}
    return Bucket(f"s3://{name}", endpoint, options)


def iam_user(endpoint: str, name: str, policy: Mapping[str, Any]) -> dict[str, str]:
    """The keys of a new user who may do what a policy says."""
    iam = _client("iam", endpoint)
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName=name, PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return {"access_key_id": key["AccessKeyId"], "secret_access_key": key["SecretAccessKey"]}


def google_bucket(endpoint: str, name: str) -> Bucket:
    """A new bucket for whom Google's XML interface is spoken at this URL (see `faulty_store`)."""
    s3_client(endpoint).create_bucket(Bucket=name)
    account = {
        "gcs_base_url": endpoint,
        "disable_oauth": True,
        "client_email": "",
        "private_key": "",
        "private_key_id": "",
    }
    options = {"service_account_key": json.dumps(account), "allow_http": True}
    return Bucket(f"gs://{name}", endpoint, options)


def azurite() -> str | None:
    """Azure's own emulator, where it is installed."""
    return shutil.which(AZURITE)


@contextmanager
def azure_store(program: str, folder: Path) -> Iterator[str]:
    """Azure's emulator; its URL."""
    port = _free_port()
    place = ["--location", str(folder), "--blobPort", str(port)]
    command = [program, "--silent", "--disableTelemetry", "--skipApiVersionCheck", *place]
    with _running(command, port):
        yield f"http://127.0.0.1:{port}"


def azure_container(endpoint: str, name: str) -> Bucket:
    """A new container of the emulator."""
    moment = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    headers = f"x-ms-date:{moment}\nx-ms-version:2021-08-06"
    signed = f"PUT{12 * chr(10)}{headers}\n/{AZURE_ACCOUNT}/{AZURE_ACCOUNT}/{name}\nrestype:container"
    digest = hmac.new(base64.b64decode(AZURE_KEY), signed.encode(), hashlib.sha256).digest()
    request = urllib.request.Request(  # noqa: S310 - this machine's own server
        f"{endpoint}/{AZURE_ACCOUNT}/{name}?restype=container",
        method="PUT",
        headers={
            "x-ms-date": moment,
            "x-ms-version": "2021-08-06",
            "Content-Length": "0",
            "Authorization": f"SharedKey {AZURE_ACCOUNT}:{base64.b64encode(digest).decode()}",
        },
    )
    urllib.request.urlopen(request, timeout=30).close()  # noqa: S310 - the same
    options = {
        "account_name": AZURE_ACCOUNT,
        "account_key": AZURE_KEY,
        "endpoint": f"{endpoint}/{AZURE_ACCOUNT}",
        "allow_http": True,
    }
    return Bucket(f"az://{name}", endpoint, options)


@contextmanager
def _running(command: Sequence[str], port: int, env: Mapping[str, str] | None = None) -> Iterator[None]:
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not _answers(port):
            assert process.poll() is None, f"{command[0]} ended with {process.returncode}"
            assert time.monotonic() < deadline, f"{command[0]} does not answer"
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(30)


def _answers(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
