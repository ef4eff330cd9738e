"""How steps tell how far they are, and what they did when they are done."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from warehouse.database import Changes


class Progress(Protocol):
    """Told by the steps; must be cheap and must not raise."""

    def start(self, step: str, source: str, total: int) -> None:
        """A step begins with ``total`` units of work."""

    def advance(self, units: int) -> None:
        """Some units of the step that runs are done."""

    def finish(self) -> None:
        """The step has ended."""

    def wait(self, message: str) -> None:
        """The step waits for another process; ``message`` says for which."""


class NoProgress:
    """Says nothing."""

    def start(self, step: str, source: str, total: int) -> None:
        pass

    def advance(self, units: int) -> None:
        pass

    def finish(self) -> None:
        pass

    def wait(self, message: str) -> None:
        pass


@dataclass(frozen=True, slots=True)
class ModelUse:
    """What a model took, and what of its words was of no use."""

    seconds: float = 0.0
    tokens: int = 0
    """That it was given and wrote."""
    cost: float = 0.0
    """In the currency of the prices; 0 where they are not set."""
    unlocated: int = 0
    """What it named and its input does not hold."""

    def __add__(self, other: ModelUse) -> ModelUse:
        return ModelUse(
            self.seconds + other.seconds,
            self.tokens + other.tokens,
            self.cost + other.cost,
            self.unlocated + other.unlocated,
        )


@dataclass(frozen=True, slots=True)
class StepReport:
    """What one run of a step did: the cost of a build falls out of these."""

    step: str
    source: str
    fingerprint: str
    processed: int = 0
    untouched: int = 0
    removed: int = 0
    failed: int = 0
    changes: Changes = field(default_factory=Changes)
    seconds: float = 0.0
    model_seconds: float = 0.0
    """Time spent inside an embedding or language model."""
    tokens: int = 0
    """Tokens that a model was given, and that a language model wrote."""
    cost: float = 0.0
    """What a language model took, in the currency of its prices; 0 where they are not set."""
    unlocated: int = 0
    """What a language model named and its passages do not hold; it is left out."""
