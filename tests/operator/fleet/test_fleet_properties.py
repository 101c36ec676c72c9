"""Whatever is asked, granted, released and forgotten in whatever order, the budget holds and everybody comes to an end."""

from dataclasses import dataclass

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from luntra_operator.fleet.account import Account, Ask, Holding
from luntra_operator.fleet.budget import Budget, Key
from luntra_operator.fleet.ledger import Ledger
from luntra_operator.fleet.line import PATIENCE
from tests.operator.fleet.conftest import at

KEYS = (("a", "1"), ("a", "2"), ("a", "3"), ("b", "1"), ("c", "1"))


@dataclass
class Model:
    """What is durable of one object: its status (`recorded`) and what lives of its workloads (amounts)."""

    stable: int = 0
    previous: int = 0
    ending: int = 0
    wanted: int = 0
    asked: float = 0.0
    recorded: bool = False
    created: bool = False

    @property
    def devices(self) -> int:
        return self.stable + self.previous + self.ending + (self.wanted if self.created else 0)


class AnyFleet(RuleBasedStateMachine):
    """Objects that roll out, an operator that is killed between any two writes, and a clock."""

    @initialize(total=st.integers(5, 9), each=st.sampled_from([None, 4, 6]), stable=st.integers(0, 1))
    def begin(self, total: int, each: int | None, stable: int) -> None:
        self.budget = Budget("gpu", total, each, {"c": 3})
        self.models = {key: Model(stable=stable) for key in KEYS}
        self.now = 0.0
        self.start()

    def start(self) -> None:
        self.ledger = Ledger(self.budget)
        found = {key: self.account(key) for key in KEYS}
        self.ledger.count({key: one for key, one in found.items() if one.holdings}, at(self.now))

    def account(self, key: Key) -> Account:
        """What the controller would say of an object now."""
        model, reserved = self.models[key], self.granted(key)
        holdings, asks = [], []
        if model.stable:
            holdings.append(Holding("stable", "stable", model.stable, at(0)))
        if model.previous or model.ending:
            holdings.append(Holding("previous", "previous", model.previous, at(0), model.ending))
        if model.wanted and (model.recorded or model.created or reserved):
            holdings.append(Holding("candidate", "candidate", model.wanted, at(0)))
        elif model.wanted:
            asks.append(Ask("candidate", "candidate", model.wanted, model.wanted, at(model.asked)))
        return Account(tuple(holdings), tuple(asks))

    def granted(self, key: Key) -> bool:
        return self.ledger.account(key).holding("candidate") is not None

    def settle(self, key: Key) -> None:
        lines = {entry.key: entry.ask for entry in self.ledger._served.waiting}
        for served in self.ledger.settle(key, self.account(key), at(self.now)):
            for other, ask in lines.items():
                self._nobody_is_passed_over(other, ask, served)

    def _nobody_is_passed_over(self, waits: Key, ask: Ask, served: Key) -> None:
        """Who has waited very long and still does: only somebody who has waited longer is served, or its namespace is full."""
        mine, theirs = self.models[waits].asked, self.models[served].asked
        still = waits in {entry.key for entry in self.ledger._served.waiting}
        if not still or self.now - mine < PATIENCE or theirs <= mine:
            return
        inside = sum(one.used for (where, _), one in self.ledger.accounts.items() if where == waits[0])
        assert inside + ask.amount > self.budget.limit(waits[0]), f"{served} passed {waits}"

    @rule(key=st.sampled_from(KEYS), amount=st.sampled_from([1, 1, 2, 2, 3, 6]))
    def new_version(self, key: Key, amount: int) -> None:
        """Also in place of one that waits or is under way: what was made of that one ends."""
        model = self.models[key]
        if model.previous:
            return
        if model.wanted:
            model.ending += model.wanted if model.created else 0
            model.wanted, model.recorded, model.created = 0, False, False
            self.settle(key)
        model.wanted, model.asked = amount, self.now
        self.settle(key)

    @rule(key=st.sampled_from(KEYS), times=st.integers(1, 5))
    def gets_far(self, key: Key, times: int) -> None:
        for _ in range(times):
            self.goes_on(key)
            self.budget_holds()

    @rule(key=st.sampled_from(KEYS))
    def goes_on(self, key: Key) -> None:
        """One write of the operator, or one thing that happens because of it."""
        model = self.models[key]
        if model.created:
            model.stable, model.previous, model.wanted = model.wanted, model.stable, 0
            model.recorded = model.created = False
        elif model.recorded:
            model.created = True
        elif model.wanted and self.granted(key):
            model.recorded = True
            return
        elif model.previous:
            model.ending, model.previous = model.ending + model.previous, 0
        elif model.ending:
            model.ending = 0
        self.settle(key)

    @rule(key=st.sampled_from(KEYS))
    def fails(self, key: Key) -> None:
        model = self.models[key]
        model.ending += model.wanted if model.created else 0
        model.wanted, model.recorded, model.created = 0, False, False
        self.settle(key)

    @rule(key=st.sampled_from(KEYS))
    def deleted(self, key: Key) -> None:
        model = self.models[key]
        self.models[key] = Model(ending=model.devices)
        self.settle(key)

    @rule()
    def killed(self) -> None:
        """Reservations that were not recorded are lost; who waits asks again when it is looked at."""
        self.start()

    @rule(key=st.sampled_from(KEYS))
    def looked_at(self, key: Key) -> None:
        self.settle(key)

    @rule(seconds=st.sampled_from([1.0, PATIENCE / 2, PATIENCE]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def budget_holds(self) -> None:
        if not hasattr(self, "models"):
            return
        for namespace in ("a", "b", "c"):
            used = sum(model.devices for (where, _), model in self.models.items() if where == namespace)
            assert used <= self.budget.limit(namespace)
        assert sum(model.devices for model in self.models.values()) <= self.budget.total
        assert self.ledger.used <= self.budget.total

    def teardown(self) -> None:
        """With time for everything, whoever can have what it asked for gets it."""
        if not hasattr(self, "models"):
            return
        for _ in range(40):
            for key in KEYS:
                self.goes_on(key)
                self.budget_holds()
        for key, model in self.models.items():
            assert model.devices == model.stable, f"{key} is not at rest: {model}"
            if model.wanted:
                assert self._cannot_have(key, model.wanted), f"{key} waits for ever: {model}"

    def _cannot_have(self, key: Key, amount: int) -> bool:
        inside = sum(model.stable for (where, _), model in self.models.items() if where == key[0])
        used = sum(model.stable for model in self.models.values())
        return inside + amount > self.budget.limit(key[0]) or used + amount > self.budget.total


def test_budget_holds_everybody_finishes_and_nobody_is_passed_over() -> None:
    run_state_machine_as_test(
        AnyFleet,
        settings=settings(
            max_examples=80, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


MINUTE = 60.0


@settings(max_examples=60, deadline=None)
@given(
    total=st.integers(4, 12),
    share=st.floats(0.3, 1),
    stays=st.integers(0, 2),
    arrivals=st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 2), st.integers(1, 5)), min_size=1, max_size=8),
)
def test_large_ask_is_served_however_many_small_ones_keep_coming(
    total: int, share: float, stays: int, arrivals: list[tuple[str, int, int]]
) -> None:
    """Breaks without the reservation, or if a namespace that uses much could be passed for ever.

    Each minute somebody asks for a little, has it for some minutes and gives it back by itself. The bound is the patience, and then the
    longest time for which somebody has what is needed, once for all and once for each that has waited longer.
    """
    ledger, large = Ledger(Budget("gpu", total)), ("a", "large")
    ledger.count({}, at(0))
    ledger.settle(("a", "stays"), Account((Holding("stable", "stable", stays, at(0)),)), at(0))
    small: dict[Key, int] = {}
    ahead = 0
    for minute in range(5, 60):
        now, (namespace, amount, lasts) = at(minute * MINUTE), arrivals[minute % len(arrivals)]
        for key in [key for key, end in small.items() if end <= minute]:
            ledger.settle(key, Account(), now)
            del small[key]
        if minute == 10:
            ahead = len(ledger.waiting)
            amount_of_large = max(1, int((total - stays) * share))
            ledger.settle(large, Account(asks=(Ask("w", "candidate", amount_of_large, amount_of_large, now),)), now)
        ledger.settle((namespace, str(minute)), Account(asks=(Ask("w", "previous", amount, amount, now),)), now)
        for key, account in ledger.accounts.items():
            if key != large and account.used and key[1] != "stays":
                small.setdefault(key, minute + lasts)
        if ledger.account(large).used:
            assert minute <= 10 + PATIENCE / MINUTE + 5 * (ahead + 1)
            return
    raise AssertionError("it was never served")
