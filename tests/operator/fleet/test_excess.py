"""Who is told that more is held than the budget has, in which words, and who is not."""

import pytest

from luntra_operator.fleet.account import Account
from luntra_operator.fleet.budget import Budget
from luntra_operator.fleet.ledger import Ledger
from tests.operator.fleet.conftest import account, asked, at, budget, held, key

FIVE, TWO = account(held(5)), account(held(2))
SOAKS = account(held(5), held(5, "previous"))
ROLLS = account(held(5), held(5, "candidate"))
ENDS = account(held(2), held(0, "leaving", ending=6))


def counted(limits: Budget, accounts: dict[str, Account]) -> Ledger:
    ledger = Ledger(limits)
    ledger.count({key(name): one for name, one in accounts.items()}, at(0))
    return ledger


@pytest.mark.parametrize(
    ("limits", "accounts", "over"),
    [
        (budget(10), {"a/one": FIVE, "b/two": FIVE}, ""),
        (budget(9), {"a/one": FIVE, "b/two": FIVE}, "a/one b/two"),
        (budget(4), {"a/one": FIVE}, "a/one"),
        (budget(9, 5), {"a/one": FIVE, "b/two": TWO}, ""),
        (budget(9, 4), {"a/one": FIVE, "b/two": TWO}, "a/one"),
        (budget(9, 6), {"a/one": FIVE, "a/two": TWO, "b/three": TWO}, "a/one a/two"),
        (budget(9, 9, a=3), {"a/one": FIVE, "b/two": TWO}, "a/one"),
        (budget(9, 0), {"a/one": FIVE}, "a/one"),
        (budget(5), {"a/one": SOAKS}, ""),
        (budget(5), {"a/one": ROLLS}, ""),
        (budget(4), {"a/one": SOAKS, "b/two": account(asked(2))}, "a/one"),
        (budget(5), {"a/one": ENDS}, ""),
        (budget(5), {"a/one": account(held(3), held(3, "previous"), paused=True)}, "a/one"),
        (budget(9), {}, ""),
    ],
)
def test_who_is_over_the_budget_for_good_and_nobody_else(
    limits: Budget, accounts: dict[str, Account], over: str
) -> None:
    """Breaks if what ends by itself is told of, or an object is that has nothing to do with it."""
    ledger = counted(limits, accounts)
    assert ledger.exceeding == {key(name) for name in over.split()}
    for name in accounts:
        assert (ledger.excess(key(name)) is not None) == (name in over.split())


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        (
            budget(6),
            "accelerators.total is 6, but versions that stay hold 7 nvidia.com/gpu, 2 of them are this object's: nothing is "
            "taken away, and nothing granted; lower spec.replicas or spec.serving.resources, or raise accelerators.total "
            "in the operator's chart",
        ),
        (
            budget(16, 4),
            "accelerators.perNamespace is 4, but versions that stay hold 7 nvidia.com/gpu in namespace a, 2 of them are this "
            "object's: nothing is taken away, and nothing granted; lower spec.replicas or spec.serving.resources, or raise "
            "accelerators.perNamespace in the operator's chart",
        ),
        (
            budget(16, 16, a=3),
            "accelerators.namespaces.a is 3, but versions that stay hold 7 nvidia.com/gpu in namespace a, 2 of them are this "
            "object's: nothing is taken away, and nothing granted; lower spec.replicas or spec.serving.resources, or raise "
            "accelerators.namespaces.a in the operator's chart",
        ),
    ],
)
def test_message_names_the_setting_its_value_and_what_to_do(limits: Budget, told: str) -> None:
    assert counted(limits, {"a/one": FIVE, "a/two": TWO}).excess(key("a/two")) == told


def test_setting_that_a_limit_comes_from_is_named() -> None:
    assert budget(16).setting("a") == "accelerators.total"
    assert budget(16, 20).setting("a") == "accelerators.total", "what is above the total limits nobody"
    assert budget(16, 4, b=2).setting("a") == "accelerators.perNamespace"
    assert budget(16, 4, b=2).setting("b") == "accelerators.namespaces.b"


def test_excess_ends_with_what_is_given_back_and_is_unknown_before_all_is_counted() -> None:
    ledger = Ledger(budget(6))
    ledger.settle(key("a/one"), account(held(7)), at(0))
    assert ledger.exceeding == frozenset()
    ledger.count({key("a/two"): TWO}, at(1))
    assert ledger.exceeding == {key("a/one"), key("a/two")}
    ledger.settle(key("a/one"), account(held(4)), at(2))
    assert ledger.exceeding == frozenset()
    assert ledger.excess(key("a/one")) is None
