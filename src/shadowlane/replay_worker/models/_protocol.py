"""What a model of one's own looks like, and what the replay needs of any model once it is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import pyarrow as pa

from shadowlane.replay_worker._features import FeatureBatch
from shadowlane.replay_worker.models._outputs import read_answers, read_table


@runtime_checkable
class Model(Protocol):
    """A shadow model of one's own; `predict(batch: FeatureBatch)` beside it serves `--batch`."""

    def predict_one(self, features: Mapping[str, Any]) -> object:
        """Answer one request; the answer is anything `Prediction.of` reads."""
        ...


class LoadedModel:
    """A model of any kind: inputs are made beforehand, so that only the model is timed."""

    #: The features it takes, in its order; empty where it does not say.
    names: Sequence[str] = ()
    #: Whether it looks at whose request it is and when it was made, beside the features.
    wants_context: bool = False
    #: How many requests it may be asked at once.
    concurrency: int = 1

    def prepare(self, features: FeatureBatch) -> Any:
        """The inputs of a batch, in the model's form."""
        raise NotImplementedError

    def single(self, inputs: Any, row: int) -> tuple[Any, int]:
        """The inputs of one request, cut out before the clock starts, and its row in these.

        `one` takes either; only a model whose requests cost something to cut out has use for this.
        """
        return inputs, row

    def one(self, inputs: Any, row: int) -> object:
        """The model's answer to one request."""
        raise NotImplementedError

    def many(self, inputs: Any) -> Any:
        """The model's answers to all of them."""
        raise NotImplementedError

    def read_each(self, answers: Sequence[Any]) -> pa.StructArray:
        """The predictions in answers that `one` gave."""
        return read_answers(answers)

    def read_many(self, answers: Any, rows: int) -> pa.StructArray:
        """The predictions in what `many` gave for so many requests.

        Raises:
            ModelError: another number of answers.
        """
        return read_table(answers, rows)

    def took(self, answer: Any) -> int | None:  # noqa: ARG002 - for those who know more of it
        """How many nanoseconds an answer of `one` or `many` took; None: as long as the call."""
        return None

    def wait(self) -> None:
        """Return when the last answer is there: a GPU answers after the call has returned."""
