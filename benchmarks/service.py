"""What the hook costs a service's users: the 99th percentile of a Starlette service, with it and without.

Two servers, one with the hook and one without, are asked in turns of a second by a process of its own, at
random moments of a given rate; so whatever else the machine does falls on both. Once with Kafka up, once
with nothing where it should be. The ratio's interval comes from resampling the turns.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain

import uvicorn
from hook import FEATURES, kafka
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from shadowlane.kafka import KafkaSettings
from shadowlane.producer import Hook

HOST = "127.0.0.1"
NOWHERE = f"{HOST}:1"
BODY = json.dumps({"features": FEATURES, "user": "user-1"}).encode()
REQUEST = b"POST / HTTP/1.1\r\nhost: bench\r\ncontent-length: %d\r\n\r\n" % len(BODY) + BODY
CONNECTIONS = 16
RESAMPLES = 2000
RANDOM = random.Random(5)  # noqa: S311 (for moments and samples, not for secrets)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap-servers", help="a Kafka that is there")
    parser.add_argument("--rate", type=float, default=300, help="requests a second")
    parser.add_argument("--turns", type=int, default=30, help="of a second, for each server")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve)
        return
    print(
        f"{given.rate:,.0f} requests a second, {given.turns} turns of a second each; ms, as a user sees them"
    )
    print(f"{'':14}{'p50':>8}{'p99':>8}{'p99 without':>13}{'ratio':>8}{'95 % interval':>16}")
    with kafka(given.bootstrap_servers) as settings:
        for name, servers in {"Kafka up": settings.bootstrap_servers, "Kafka down": NOWHERE}.items():
            with ExitStack() as stack:
                prefix = settings.topic_prefix
                with_hook = stack.enter_context(server(f"{servers} {prefix}"))
                without = stack.enter_context(server("none"))
                turns = asyncio.run(measure([with_hook, without], given.rate, given.turns))
            show(name, *turns)


def show(name: str, with_hook: list[list[float]], without: list[list[float]]) -> None:
    """One line: percentiles over all turns, and the ratio with its interval."""
    ratios = sorted(
        p99(pick(with_hook, indices)) / p99(pick(without, indices))
        for indices in (RANDOM.choices(range(len(without)), k=len(without)) for _ in range(RESAMPLES))
    )
    every, bare = sorted(chain(*with_hook)), p99(list(chain(*without)))
    low, high = ratios[RESAMPLES // 40], ratios[-RESAMPLES // 40]
    print(
        f"{name:14}{every[len(every) // 2]:8.2f}{p99(every):8.2f}{bare:13.2f}{p99(every) / bare:7.2f}x"
        f"{f'{low:.2f} to {high:.2f}':>16}"
    )


def pick(turns: Sequence[list[float]], indices: Sequence[int]) -> list[float]:
    """The times of some turns together."""
    return [time for index in indices for time in turns[index]]


def p99(times: list[float]) -> float:
    """The 99th percentile."""
    return sorted(times)[len(times) * 99 // 100]


async def measure(ports: Sequence[int], rate: float, turns: int) -> list[list[list[float]]]:
    """Each server's times, turn by turn; the servers are asked one after the other, in changing order."""
    times: list[list[list[float]]] = [[] for _ in ports]
    pools = [[await asyncio.open_connection(HOST, port) for _ in range(CONNECTIONS)] for port in ports]
    for turn in range(-2, turns):  # two to warm up
        for index in RANDOM.sample(range(len(ports)), len(ports)):
            measured = await one_turn(pools[index], rate)
            if turn >= 0:
                times[index].append(measured)
    return times


async def one_turn(
    pool: Sequence[tuple[asyncio.StreamReader, asyncio.StreamWriter]], rate: float
) -> list[float]:
    """A second of requests at random moments, spread over the connections."""
    times: list[float] = []

    async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        end = time.perf_counter() + 1
        while time.perf_counter() < end:
            await asyncio.sleep(RANDOM.expovariate(rate / len(pool)))
            start = time.perf_counter()
            writer.write(REQUEST)
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]
            await reader.readexactly(int(length))
            times.append((time.perf_counter() - start) * 1000)

    await asyncio.gather(*(ask(*connection) for connection in pool))
    return times


@contextmanager
def server(what: str) -> Iterator[int]:
    """A server of its own process: "none", or where to publish."""
    command = [sys.executable, __file__, "--serve", what]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield int(process.stdout.readline() if process.stdout else 0)
        finally:
            process.terminate()


def serve(what: str) -> None:
    """The service: 20 features in, a score out, and between them what a small model takes."""
    hook: Hook | None = None
    if what != "none":
        servers, prefix = what.split(" ")
        hook = Hook(model="bench", kafka=KafkaSettings(bootstrap_servers=servers, topic_prefix=prefix))

    async def predict(request: Request) -> JSONResponse:
        start = time.perf_counter()
        asked = await request.json()
        features = asked["features"]
        score = sum(value * 0.001 for _ in range(20) for value in features.values() if type(value) is float)
        if hook:
            hook.publish(
                features=features,
                prediction=score,
                latency_ms=(time.perf_counter() - start) * 1000,
                entity_id=asked["user"],
            )
        return JSONResponse({"score": score})

    # Of a socket that does not say TCP, asyncio leaves Nagle's algorithm on, and answers take 40 ms.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind((HOST, 0))
    listening.listen()
    print(listening.getsockname()[1], flush=True)
    logging.disable()  # that Kafka is down is on purpose
    app = Starlette(routes=[Route("/", predict, methods=["POST"])])
    config = uvicorn.Config(app, log_level="critical", lifespan="off")
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
