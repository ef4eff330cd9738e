"""Limits of what language models may cost, kept before the money is spent.

Whoever makes a call reserves the most that it can cost, and settles what it did cost. At every instant what is spent
and what is reserved together stay within all limits, whatever runs side by side; only an endpoint that bills more than
was asked for (longer replies than ``max_tokens``) can go beyond.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime

from errors import BudgetExhausted, ModelError
from models.chat import ChatRequest, ModelSpec, Usage, request_body

_MESSAGE_OVERHEAD = 16
"""Tokens around a message that no text shows."""

_COUNTER_MARGIN = 1.2
"""What a foreign tokenizer may count too few, as a factor."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be spent; ``None`` is no limit. Days are those of UTC."""

    money_per_run: float | None = None
    money_per_day: float | None = None
    tokens_per_run: int | None = None
    tokens_per_day: int | None = None


@dataclass(frozen=True, slots=True)
class Amount:
    """Money, and tokens of prompts and replies together."""

    money: float = 0.0
    tokens: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.money + other.money, self.tokens + other.tokens)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self.money - other.money, self.tokens - other.tokens)


@dataclass(frozen=True, slots=True, eq=False)
class Reservation:
    """The most that one call may take; settled once."""

    most: Amount
    discount: float


class Budget:
    """What a run may still spend; safe to use from several threads and tasks."""

    def __init__(
        self,
        spec: ModelSpec,
        limits: Limits,
        spent_today: Amount | None = None,
        today: Callable[[], date] = lambda: datetime.now(UTC).date(),
    ) -> None:
        """
        Args:
            spent_today: before this run.
            today: the present day; a new one begins with nothing spent.

        Raises:
            ModelError: money is limited, and the model has no prices.
        """
        limited = limits.money_per_run is not None or limits.money_per_day is not None
        if limited and not spec.priced:
            raise ModelError(
                f"The budget is limited in money, and the price of {spec.model} is not known.",
                "Set both prices of the model, or limit tokens.",
            )
        self._spec = spec
        self._limits = limits
        self._today = today
        self._day = today()
        self._spent_today = spent_today or Amount()
        self._spent_run = Amount()
        self._open: dict[int, Reservation] = {}
        self._lock = threading.Lock()

    @property
    def spent_run(self) -> Amount:
        """What this run has spent; what is only reserved is not in it."""
        with self._lock:
            return self._spent_run

    @property
    def spent_today(self) -> Amount:
        """What was spent today, by this run and before it."""
        with self._lock:
            self._turn_day()
            return self._spent_today

    @property
    def reserved(self) -> Amount:
        """What the calls under way may take at most."""
        with self._lock:
            return self._reserved()

    def reserve(self, prompt_tokens: int, completion_tokens: int, discount: float = 1.0) -> Reservation:
        """Put aside the most that a call may take.

        Args:
            prompt_tokens: an upper bound (:func:`prompt_bound`).
            completion_tokens: the limit that the call is made with.
            discount: of the prices, for a batch.

        Raises:
            BudgetExhausted: a limit could be exceeded; nothing is put aside.
        """
        most = self._amount(Usage(prompt_tokens, completion_tokens), discount)
        with self._lock:
            self._turn_day()
            reserved = self._reserved()
            for spent, money, tokens, span in (
                (self._spent_run, self._limits.money_per_run, self._limits.tokens_per_run, "run"),
                (self._spent_today, self._limits.money_per_day, self._limits.tokens_per_day, "day"),
            ):
                wanted = spent + reserved + most
                if money is not None and wanted.money > money:
                    raise _exhausted(span, f"{money:g} (money)", f"{spent.money:.6g}", f"{reserved.money:.6g}")
                if tokens is not None and wanted.tokens > tokens:
                    raise _exhausted(span, f"{tokens:,} tokens", f"{spent.tokens:,}", f"{reserved.tokens:,}")
            reservation = Reservation(most, discount)
            self._open[id(reservation)] = reservation
            return reservation

    def settle(self, reservation: Reservation, usage: Usage | None) -> None:
        """End a reservation.

        Args:
            usage: what the endpoint billed, ``Usage()`` where it billed nothing; ``None`` where nobody knows, which
                counts as the most that was put aside.
        """
        spent = reservation.most if usage is None else self._amount(usage, reservation.discount)
        with self._lock:
            del self._open[id(reservation)]
            self._turn_day()
            self._spent_run += spent
            self._spent_today += spent

    def _amount(self, usage: Usage, discount: float) -> Amount:
        return Amount(self._spec.cost(usage, discount) or 0.0, usage.prompt_tokens + usage.completion_tokens)

    def _reserved(self) -> Amount:
        return sum((reservation.most for reservation in self._open.values()), Amount())

    def _turn_day(self) -> None:
        if self._today() != self._day:
            self._day = self._today()
            self._spent_today = Amount()


def prompt_bound(spec: ModelSpec, request: ChatRequest, count: Callable[[str], int] | None = None) -> int:
    """An upper bound of a request's prompt tokens, the schema in words included.

    Args:
        count: counts the tokens of a text as a tokenizer like the model's does. Without one every byte counts as a
            token: there are no shorter ones.
    """
    body = request_body(spec, request, structured=False)
    texts = [message["content"] for message in body["messages"]]
    overhead = _MESSAGE_OVERHEAD * (len(texts) + 1)
    if count is None:
        return sum(len(text.encode()) for text in texts) + overhead
    return int(_COUNTER_MARGIN * sum(count(text) for text in texts)) + 1 + overhead


def _exhausted(span: str, limit: str, spent: str, reserved: str) -> BudgetExhausted:
    resume = "Raise the limit, or run again" + (" tomorrow." if span == "day" else ".")
    return BudgetExhausted(
        f"The budget of a {span}, {limit}, does not suffice for the next call: {spent} is spent, "
        f"{reserved} reserved for calls under way.",
        f"{resume} What was done is kept, and the next run goes on from there.",
    )
