"""What services hand over as features and predictions: a specimen of each kind of type."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, RootModel
from pydantic.v1 import BaseModel as OldBaseModel


class Colour(Enum):
    """Text by another name."""

    RED = "red"


class Size(IntEnum):
    """An integer by another name."""

    SMALL = 1


class Nothing(Enum):
    """A name for what is not known."""

    NOTHING = None


class Markup(str):
    """Text of another class, as templates have it."""

    __slots__ = ()


class Place(NamedTuple):
    """A named tuple."""

    country: str
    colour: Colour


@dataclass
class Row:
    """A dataclass."""

    country: str
    colour: Colour


@dataclass(frozen=True, slots=True)
class Slotted:
    """A dataclass without a `__dict__`."""

    country: str
    colour: Colour


class Model(BaseModel):
    """A pydantic model, and one of its fields any object."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    country: str
    colour: Any


class OldModel(OldBaseModel):
    """A model of pydantic 1."""

    country: str
    colour: Colour


@dataclass
class Order:
    """A dataclass with other things in it."""

    sku: str
    place: Place
    tags: list[str] = field(default_factory=list)


class Item(BaseModel):
    """A model for another model's field."""

    sku: str
    price: float | None = None


class Basket(BaseModel):
    """A model with models in it."""

    items: list[Item]


class OldItem(OldBaseModel):
    """A model of pydantic 1 for features' values."""

    sku: str


class Scores(RootModel[list[float]]):
    """A model that is a list."""


class Account(BaseModel):
    """A model with a field that shall stay where it is."""

    name: str = "x"
    password: str = Field(default="secret", exclude=True)


@dataclass
class Answer:
    """A prediction as a dataclass, with a field that no prediction has where it is set."""

    label: object


class Verdict(BaseModel):
    """A prediction as a pydantic model."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    label: str
    score: Any


Ranked = namedtuple("Ranked", ["ranking", "vector"])  # noqa: PYI024 - the untyped kind is about, too


class Tensor:
    """Stands in for a tensor of torch or jax: memory of its own, and `tolist`."""

    def __init__(self, values: list[float]) -> None:
        self.memory = values

    def tolist(self) -> list[float]:
        """The values, as Python's own."""
        return list(self.memory)
