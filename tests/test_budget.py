"""Limits hold at every instant, whatever runs side by side."""

from __future__ import annotations

import threading
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors import BudgetExhausted, ModelError, Transient
from models.budget import Amount, Budget, Limits, prompt_bound
from models.chat import ChatRequest, ModelSpec, Usage
from models.prompts import Prompt

SPEC = ModelSpec("m", price_prompt_per_million=2.0, price_completion_per_million=8.0)
TODAY = date(2026, 11, 21)


def a_budget(spent_today: Amount | None = None, spec: ModelSpec = SPEC, **limits: float) -> Budget:
    return Budget(spec, Limits(**limits), spent_today, today=lambda: TODAY)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("limits", "fits", "span"),
    [
        ({"tokens_per_run": 150}, (100, 50), "run"),
        ({"tokens_per_day": 160}, (100, 50), "day"),
        ({"money_per_run": 0.0006}, (100, 50), "run"),
        ({"money_per_day": 1.0006}, (100, 50), "day"),
    ],
)
def test_a_call_fits_exactly_and_the_next_does_not(limits: dict[str, float], fits: tuple[int, int], span: str) -> None:
    budget = a_budget(Amount(1.0, 10), **limits)
    reservation = budget.reserve(*fits)
    for _ in range(2):
        with pytest.raises(BudgetExhausted, match=f"of a {span}") as caught:
            budget.reserve(1, 1)
        assert isinstance(caught.value, Transient)
        assert "goes on" in caught.value.remedy
        if reservation is not None:
            budget.settle(reservation, Usage(*fits))
            reservation = None
    assert budget.spent_run == Amount(pytest.approx(0.0006), 150)
    assert budget.spent_today == Amount(pytest.approx(1.0006), 160)


def test_what_was_not_needed_is_given_back() -> None:
    budget = a_budget(tokens_per_run=100)
    reservation = budget.reserve(60, 40)
    budget.settle(reservation, Usage(10, 5))
    budget.settle(budget.reserve(85, 0), Usage())
    assert budget.spent_run.tokens == 15
    assert budget.reserved.tokens == 0


def test_what_nobody_knows_counts_in_full() -> None:
    budget = a_budget(tokens_per_run=100)
    budget.settle(budget.reserve(60, 40), None)
    assert budget.spent_run.tokens == 100


def test_the_message_tells_what_is_spent_and_what_is_reserved() -> None:
    budget = a_budget(tokens_per_run=1000)
    budget.settle(budget.reserve(300, 0), Usage(300, 0))
    budget.reserve(600, 0)
    with pytest.raises(BudgetExhausted, match=r"1,000 tokens.*300 is spent, 600 reserved"):
        budget.reserve(101, 0)


def test_a_batch_is_reserved_at_its_discount() -> None:
    budget = a_budget(money_per_run=1.0)
    reservation = budget.reserve(1_000_000, 0, discount=0.5)
    budget.settle(reservation, Usage(500_000, 0))
    assert budget.spent_run.money == pytest.approx(0.5)


def test_a_new_day_begins_with_nothing_spent_and_the_run_goes_on() -> None:
    days = [TODAY]
    budget = Budget(SPEC, Limits(tokens_per_day=100, tokens_per_run=150), Amount(0.0, 90), today=lambda: days[0])
    with pytest.raises(BudgetExhausted):
        budget.reserve(80, 0)
    days[0] = date(2026, 11, 22)
    budget.settle(budget.reserve(80, 0), Usage(80, 0))
    assert budget.spent_today.tokens == 80
    days[0] = date(2026, 11, 23)
    with pytest.raises(BudgetExhausted, match="of a run"):
        budget.reserve(80, 0)


@pytest.mark.parametrize("limits", [{"money_per_run": 1.0}, {"money_per_day": 1.0}])
def test_money_without_prices_is_an_error_of_the_settings(limits: dict[str, float]) -> None:
    with pytest.raises(ModelError, match="price"):
        a_budget(spec=ModelSpec("m", price_prompt_per_million=1.0), **limits)
    a_budget(spec=ModelSpec("m"), tokens_per_run=1)


def test_without_limits_nothing_is_held_back() -> None:
    a_budget(spec=ModelSpec("m")).reserve(10**9, 10**9)


AMOUNTS = st.integers(0, 60)


@given(
    run=st.integers(0, 300),
    day=st.integers(0, 300),
    before=st.integers(0, 100),
    steps=st.lists(st.tuples(AMOUNTS, AMOUNTS, st.floats(0, 1) | st.none(), st.integers(0, 5)), max_size=40),
)
def test_no_order_of_calls_goes_beyond_a_limit(
    run: int, day: int, before: int, steps: list[tuple[int, int, float | None, int]]
) -> None:
    """Every step reserves; then up to five of those under way are settled, at a share of what they reserved."""
    budget = a_budget(
        Amount(0.0, before), tokens_per_run=run, tokens_per_day=max(day, before), money_per_run=run * 4e-6
    )
    under_way = []
    for prompt, completion, share, settled in steps:
        try:
            under_way.append((budget.reserve(prompt, completion), prompt, completion))
        except BudgetExhausted:
            taken = budget.spent_run + budget.reserved
            today = budget.spent_today.tokens + budget.reserved.tokens
            most = prompt + completion
            money = taken.money + SPEC.cost(Usage(prompt, completion))  # type: ignore[operator]
            assert taken.tokens + most > run or today + most > max(day, before) or money > run * 4e-6 - 1e-12
        for _ in range(min(settled, len(under_way))):
            reservation, prompts, completions = under_way.pop(0)
            usage = None if share is None else Usage(int(share * prompts), int(share * completions))
            budget.settle(reservation, usage)
        total = budget.spent_run + budget.reserved
        assert total.tokens <= run
        assert total.money <= run * 4e-6 + 1e-12
        assert budget.spent_today.tokens + budget.reserved.tokens <= max(day, before)


def test_threads_together_stay_within_the_limit() -> None:
    budget = a_budget(tokens_per_run=1000)
    paid: list[int] = []

    def work() -> None:
        for _ in range(200):
            try:
                reservation = budget.reserve(7, 3)
            except BudgetExhausted:
                continue
            budget.settle(reservation, Usage(5, 2))
            paid.append(7)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert budget.spent_run.tokens == sum(paid)
    assert 980 < sum(paid) <= 1000, "all that fits is used"


@given(system=st.text(), user=st.text())
def test_the_bound_of_a_prompt_is_above_its_bytes(system: str, user: str) -> None:
    request = ChatRequest(Prompt("p", system), user, "kind", {"type": "object"})
    assert prompt_bound(SPEC, request) > len(system.encode()) + len(user.encode()) + len('{"type": "object"}')


def test_a_counter_gives_a_tighter_bound() -> None:
    request = ChatRequest(Prompt("p", "Extract."), "word " * 500, "kind", {"type": "object"})
    counted = prompt_bound(SPEC, request, lambda text: len(text.split()))
    assert 600 < counted < 750 < prompt_bound(SPEC, request)
