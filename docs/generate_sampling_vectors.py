"""Write docs/sampling-vectors.json, which holds other languages to our sampling: python docs/generate_sampling_vectors.py."""  # noqa: INP001, E501 (a script; its first line says how to run it)

from __future__ import annotations

import json
from pathlib import Path

from shadowlane.producer import is_sampled, position

PAGE = Path(__file__).with_name("sampling-vectors.json")
RATES = (0.0, 0.0001, 0.01, 0.05, 0.25, 0.5, 0.9, 1.0)
#: Short, long and unusual ones; text is taken as it is, neither trimmed nor normalized.
KEYS = (
    *("", " ", "0", "42", "a", "A", "user-1", "user-2", "user-1 ", "\n", "\x00", "a\x00b", "\ufeff"),
    *("Grüße 東京", "ключ-7", "مفتاح", "🌒", "👩\u200d🔬", "é", "e\u0301", "\u00a0"),
    *("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "x" * 55, "x" * 56, "x" * 64, "東" * 1000),
    # The last key below each rate and the first above it, of user-0 to user-199999.
    *("user-47448", "user-63570", "user-71291", "user-197227", "user-26349", "user-54368"),
    *("user-104702", "user-1154", "user-71627", "user-98805", "user-62804", "user-76664"),
)


def render() -> str:
    """The file's text."""
    lines = [json.dumps(_vector(key), ensure_ascii=True) for key in KEYS]
    return f'{{"rates": {json.dumps(RATES)},\n "vectors": [\n  ' + ",\n  ".join(lines) + "\n]}\n"


def _vector(key: str) -> dict[str, object]:
    return {
        "key": key,
        "position": position(key),
        "sampled": [is_sampled(key, rate) for rate in RATES],
    }


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
