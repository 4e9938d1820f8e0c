"""Where a model over HTTP is: what its URI says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from shadowlane.errors import ModelError

_PATH = re.compile(
    r"(?P<base>.*?)(?P<model>/v2/models/(?P<name>[^/]+)(/versions/[^/]+)?)(/infer|/)?", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Address:
    """A model of a server that speaks the Open Inference Protocol, version 2."""

    #: What connections are made to, as http://host:port.
    server: str
    #: Before /v2, where a gateway has put the server under a path.
    base: str
    #: The path of the model, and of its version where one is named.
    model: str
    name: str
    #: Which of its outputs are asked for; empty: those that it gives by itself.
    outputs: tuple[str, ...]

    @classmethod
    def of(cls, uri: str) -> Address:
        """Read http://host:port/v2/models/NAME[/versions/V][/infer][#output,…].

        Raises:
            ModelError: it is no such URI.
        """
        try:
            parts = urlsplit(uri)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise ModelError(f"this URI of a model over HTTP cannot be read: {error}") from None
        if parts.username is not None or parts.password is not None:
            raise ModelError(  # and the URI, which holds a secret, is not said again
                "the URI of a model over HTTP holds a user or password, which would end up in logs: "
                "give them as a header, in SHADOWLANE_MODEL_HEADERS"
            )
        found = _PATH.fullmatch(parts.path)
        if not host or found is None or parts.query:
            raise ModelError(
                f"model {uri.partition('?')[0]!r}: write http://host:port/v2/models/NAME, "
                "or …/v2/models/NAME/versions/VERSION (Open Inference Protocol, version 2)"
            )
        shown = f"[{host}]" if ":" in host else host
        base = found["base"]
        return cls(
            server=f"{parts.scheme.lower()}://{shown}" + (f":{port}" if port else ""),
            base=base,
            model=base + found["model"],
            name=found["name"],
            outputs=tuple(filter(None, parts.fragment.split(","))),
        )

    def __str__(self) -> str:
        return self.server + self.model
