"""Which rule judges a pair: the first of a comparator's rules whose part both predictions have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from shadowlane.comparators._ignored import IGNORED, Ignored
from shadowlane.comparators._parse import read_rule, tolerant_rules
from shadowlane.comparators._rules import DEFAULT_RULES, Rule
from shadowlane.errors import SettingsError
from shadowlane.schemas import Prediction


class Outcome(NamedTuple):
    """Whether two predictions agree, how far apart they are, and the rule that said so."""

    agreement: bool
    difference: float | None
    comparator: str

    @property
    def is_disagreement(self) -> bool:
        """Neither agreement nor ignored."""
        return not self.agreement and not self.comparator.startswith(IGNORED)


@dataclass(frozen=True, slots=True)
class Comparator:
    """The rules, in order, and the pairs that are not to count.

    Without arguments it compares what both models gave: labels before scores, scores before vectors,
    vectors before rankings; numbers may be 0.05 apart.
    """

    rules: tuple[Rule, ...] = DEFAULT_RULES
    ignored: tuple[Ignored, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Comparator:
        """Read one rule, such as `score:0.01`, `label` or `ranking:top=5`; or `auto`, `auto:0.1`.

        Raises:
            SettingsError: there is no such rule.
            MissingExtraError: it needs a package that is not installed.
        """
        return cls.of([text])

    @classmethod
    def of(
        cls, texts: Sequence[str], ignore: Sequence[str] = (), *, auto: tuple[Rule, ...] = DEFAULT_RULES
    ) -> Comparator:
        """Read several rules, one for each part. They alone decide, in their order.

        `auto` among them stands for the rules of `auto`, in which those beside it replace their like.

        Raises:
            SettingsError: there is no such rule, or two for one part.
            MissingExtraError: one needs a package that is not installed.
        """
        is_auto, rules = False, list[Rule]()
        for text in texts:
            try:
                if text == "auto":
                    is_auto = True
                elif text.startswith("auto:"):
                    is_auto, auto = True, replaced(auto, tolerant_rules(text.removeprefix("auto:")))
                else:
                    rules.append(_unlike(read_rule(text), rules))
            except SettingsError as error:
                raise SettingsError(f"comparator {text!r}: {error}") from error
        chosen = replaced(auto, rules) if is_auto or not rules else tuple(rules)
        return cls(chosen, tuple(map(_ignored, ignore)))

    def compare(
        self, primary: Prediction, shadow: Prediction, segments: Mapping[str, str] | None = None
    ) -> Outcome:
        """Compare one pair of a request with these segments. An ignored pair is no agreement."""
        for each in self.ignored:
            if each.covers(primary, shadow, segments or {}):
                return Outcome(False, None, each.name)
        for rule in self.rules:
            if rule.part is None or _has_both(primary, shadow, rule.part):
                return Outcome(*rule.judge(primary, shadow), rule.name)
        return Outcome(False, None, self.name_of_none)

    @property
    def name_of_none(self) -> str:
        """The recorded name where no rule applies: two kinds of prediction, which never agree."""
        return self.rules[0].name if len(self.rules) == 1 else "mixed"


def replaced(auto: tuple[Rule, ...], rules: Sequence[Rule]) -> tuple[Rule, ...]:
    """The rules of `auto`, with these in the places of their like, or before all where there is none."""
    by_part = {rule.part: rule for rule in rules}
    if None in by_part:
        return (by_part[None],)
    kept = [by_part.pop(rule.part, rule) for rule in auto]
    return (*by_part.values(), *kept)


def _unlike(rule: Rule, rules: Sequence[Rule]) -> Rule:
    """The rule, where it does not say again what another says.

    Raises:
        SettingsError: it does.
    """
    if rules and None in (rule.part, rules[0].part):
        raise SettingsError("a python: rule for all predictions stands alone")
    if rule.part in [each.part for each in rules]:
        raise SettingsError(f"there is a rule for {rule.part}s already")
    return rule


def _ignored(text: str) -> Ignored:
    try:
        return Ignored.parse(text)
    except SettingsError as error:
        raise SettingsError(f"ignore {error}") from error


def _has_both(primary: Prediction, shadow: Prediction, part: str) -> bool:
    return getattr(primary, part) is not None and getattr(shadow, part) is not None
