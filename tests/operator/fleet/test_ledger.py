"""The ledger over time: what it grants when accounts change, and what those who wait are told."""

from luntra_operator.fleet.account import Account
from luntra_operator.fleet.budget import Budget
from luntra_operator.fleet.ledger import Ledger
from tests.operator.fleet.conftest import account, asked, at, budget, held

ONE, TWO, THREE = ("a", "one"), ("a", "two"), ("a", "three")
GPU = "nvidia.com/gpu"


def counted(limits: Budget, **accounts: Account) -> Ledger:
    """A ledger that has counted; names are those of objects in namespace `a`."""
    ledger = Ledger(limits)
    ledger.count({("a", name): one for name, one in accounts.items()}, at(0))
    return ledger


def told(ledger: Ledger, key: tuple[str, str]) -> str:
    outlook = ledger.outlook(key)
    return outlook.message if outlook else "nothing"


def test_nothing_is_granted_before_all_is_counted() -> None:
    ledger = Ledger(budget(4))
    assert ledger.settle(ONE, account(asked(2)), at(0)) == frozenset()
    assert told(ledger, ONE) == "the accelerators in use are being counted after a start of the operator"
    assert ledger.count({TWO: account(held(3))}, at(1)) == frozenset()
    assert ledger.settle(TWO, account(), at(2)) == {ONE}


def test_account_that_was_settled_while_others_were_counted_is_the_newer_one() -> None:
    ledger = Ledger(budget(4))
    ledger.settle(ONE, account(held(1)), at(0))
    ledger.count({ONE: account(held(4))}, at(1))
    assert ledger.used == 1


def test_what_is_freed_goes_to_who_waits_and_says_whom() -> None:
    ledger = counted(budget(4), one=account(held(2), held(2, "previous")))
    assert ledger.settle(TWO, account(asked(2)), at(1)) == frozenset()
    assert ledger.waiting == {TWO}
    assert ledger.settle(ONE, account(held(2), held(0, "leaving", ending=2)), at(2)) == frozenset()
    assert ledger.settle(ONE, account(held(2)), at(3)) == {TWO}
    assert (ledger.waiting, ledger.used, ledger.awaited) == (frozenset(), 4, 0)


def test_who_leaves_the_line_makes_room_for_the_next() -> None:
    ledger = counted(budget(5), one=account(held(2), held(2, "previous")))
    ledger.settle(TWO, account(asked(3, 0)), at(1))
    assert ledger.settle(THREE, account(asked(1, 1)), at(2)) == frozenset()
    assert ledger.settle(TWO, account(), at(3)) == {THREE}


def test_who_waits_is_told_who_has_it_and_where_it_stands() -> None:
    ledger = counted(budget(16), one=account(held(10), held(4, "previous")))
    for number, name in enumerate(("x", "y", "z")):
        ledger.settle(("a", name), account(asked(4 - number, number)), at(number))
    ledger.settle(TWO, account(asked(2, 9)), at(9))
    assert told(ledger, TWO) == (f"candidate needs 2 {GPU}; 14 of 16 in use, 4 of them held by soaks; 4th of 4 in line")
    assert told(ledger, ONE) == "nothing"


def test_full_namespace_is_what_its_objects_are_told_of() -> None:
    ledger = counted(budget(16, 4), one=account(held(2), held(2, "previous")))
    ledger.settle(TWO, account(asked(2)), at(1))
    assert told(ledger, TWO) == (
        f"candidate needs 2 {GPU}; 4 of 4 of namespace a in use, 2 of them held by soaks; 1st of 1 in line"
    )


def test_who_waiting_cannot_help_is_told_what_can() -> None:
    ledger = counted(budget(16), one=account(held(12), held(2, "previous")))
    ledger.settle(TWO, account(asked(8)), at(1))
    assert told(ledger, TWO) == (
        f"candidate needs 8 {GPU}; 14 of 16 in use, 2 of them held by soaks; "
        "versions that stay leave at most 4 of them: raise the budget, or lower replicas somewhere"
    )


def test_what_never_fits_is_told_with_the_numbers_and_the_fix() -> None:
    ledger = counted(budget(16, 8), one=account(held(5), asked(5)))
    outlook = ledger.outlook(ONE)
    assert outlook
    assert outlook.never
    assert outlook.message == (
        f"candidate needs 5 {GPU} beside the 5 that it holds meanwhile, but accelerators.perNamespace is 8: "
        "lower spec.replicas or spec.serving.resources, or raise accelerators.perNamespace in the operator's chart"
    )


def test_use_above_the_budget_is_said_as_it_is() -> None:
    ledger = counted(budget(4), one=account(held(3), held(3, "previous")))
    ledger.settle(TWO, account(asked(1)), at(1))
    assert "6 of 4 in use" in told(ledger, TWO)
