"""`shadowlane sampling`: change which requests a model's services publish, while they run."""

from __future__ import annotations

import getpass
import json
import socket
from typing import Annotated

import typer

from shadowlane.cli._options import BootstrapServers, Config, Form, settings
from shadowlane.errors import SettingsError
from shadowlane.producer import Rates, read_sampling, set_sampling
from shadowlane.schemas import ControlSetting, SamplingRates

app = typer.Typer(
    help="Change which requests a model's services publish, while they run.", no_args_is_help=True
)

Model = Annotated[str, typer.Option(help="The model whose requests are sampled.")]


@app.command("set")
def set_rates(
    *,
    model: Model,
    rate: Annotated[float, typer.Option(help="The share of all requests, from 0 to 1.")],
    segment: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE=RATE",
            help="Another share for a segment; the largest applies. May be repeated.",
        ),
    ] = None,
    reason: Annotated[str, typer.Option(help="Why, for those who look later.")] = "",
    bootstrap_servers: BootstrapServers = None,
    config: Config = None,
) -> None:
    """Set the rates of all hooks of a model that follow the control topic; they take them within seconds.

    Example: shadowlane sampling set --model fraud --rate 0.05 --segment country=BR=1.0 --reason "few from BR"
    """
    rates = Rates(rate, dict(_segment(text) for text in segment or ()))
    kafka = settings(bootstrap_servers, config=config).kafka
    set_sampling(kafka, model, rates, set_by=_who(), reason=reason)
    typer.echo(f"{model}: {_words(rates)}")


@app.command("clear")
def clear(*, model: Model, bootstrap_servers: BootstrapServers = None, config: Config = None) -> None:
    """Take back what was set: each hook returns to its file's rates, or those that it was made with.

    Example: shadowlane sampling clear --model fraud
    """
    set_sampling(settings(bootstrap_servers, config=config).kafka, model, None)
    typer.echo(f"{model}: {_NOTHING}")


@app.command("show")
def show(
    *,
    model: Model,
    form: Annotated[Form, typer.Option("--format", help="How it is printed.")] = Form.table,
    bootstrap_servers: BootstrapServers = None,
    config: Config = None,
) -> None:
    """Say what is set for a model, since when, by whom and why.

    Example: shadowlane sampling show --model fraud --format json
    """
    setting = read_sampling(settings(bootstrap_servers, config=config).kafka, model)
    typer.echo(_to_json(model, setting) if form is Form.json else f"{model}: {_to_text(setting)}")


_NOTHING = "nothing is set; each hook's own rates hold"


def _segment(text: str) -> tuple[str, float]:
    name, _, rate = text.rpartition("=")
    try:
        return name, float(rate)
    except ValueError:
        raise SettingsError(f"--segment {text!r} is no segment's rate; write country=BR=1.0") from None


def _who() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = "somebody"
    return f"{user}@{socket.gethostname()}"


def _words(rates: Rates | SamplingRates) -> str:
    segments = (f"{name} {rate}" for name, rate in sorted(rates.segments.items()))
    return ", ".join([f"rate {rates.rate}", *segments])


def _to_text(setting: ControlSetting | None) -> str:
    if setting is None or setting.sampling is None:
        return _NOTHING
    since = setting.set_at.isoformat(timespec="seconds").replace("+00:00", "Z")
    who, why = setting.set_by or "somebody", setting.reason or "none given"
    return f"{_words(setting.sampling)}\nset {since} by {who}\nreason: {why}"


def _to_json(model: str, setting: ControlSetting | None) -> str:
    rates = setting and setting.sampling
    fields = {
        "model": model,
        "sampling": rates and {"rate": rates.rate, "segments": dict(sorted(rates.segments.items()))},
        "set_at": setting and setting.set_at.isoformat().replace("+00:00", "Z"),
        "set_by": setting and setting.set_by,
        "reason": setting and setting.reason,
    }
    return json.dumps(fields, ensure_ascii=False, indent=2)
