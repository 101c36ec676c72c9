"""Who gets accelerators next: tables of accounts in, grants and the line out."""

import pytest

from luntra_operator.fleet.account import Account, Holding
from luntra_operator.fleet.budget import Budget
from luntra_operator.fleet.line import PATIENCE, Served, serve
from tests.operator.fleet.conftest import account, asked, at, budget, held, key


def served(limits: Budget, **accounts: Account) -> Served:
    """One second after the start; names are written `a_one` for `a/one`."""
    return serve(limits, {key(name.replace("_", "/")): one for name, one in accounts.items()}, at(1))


def granted(done: Served) -> set[str]:
    return {"/".join(one) for one in done.granted}


def waiting(done: Served) -> list[str]:
    return ["/".join(entry.key) for entry in done.waiting]


def test_what_fits_is_granted_at_once() -> None:
    done = served(budget(4), a_one=account(held(2), asked(2)))
    assert granted(done) == {"a/one"}
    after = done.accounts["a", "one"]
    assert after == Account((held(2), Holding("candidate", "candidate", 2, at(1))))


def test_last_unit_goes_to_one_of_two() -> None:
    """Breaks if what was granted a moment ago does not count yet."""
    done = served(budget(6), a_one=account(held(2), asked(2, 0)), a_two=account(held(2), asked(2, 1)))
    assert (granted(done), waiting(done)) == ({"a/one"}, ["a/two"])


@pytest.mark.parametrize("ending", [0, 2])
def test_pods_that_end_and_soaks_hold_what_they_have(ending: int) -> None:
    done = served(budget(4), a_one=account(held(2 - ending, "previous", ending), held(2)), b_two=account(asked(1)))
    assert (granted(done), waiting(done)) == (set(), ["b/two"])


@pytest.mark.parametrize(
    ("used", "first"),
    [
        ((2, 1), "b/new"),  # 2 of 8 is more than 1 of 8
        ((1, 1), "a/new"),  # equal shares: who has waited longest
        ((1, 2), "a/new"),
    ],
)
def test_namespace_with_the_smallest_share_is_served_first(used: tuple[int, int], first: str) -> None:
    accounts = {
        "a_old": account(held(used[0])),
        "b_old": account(held(used[1])),
        "a_new": account(asked(1, 0)),
        "b_new": account(asked(1, 1)),
    }
    done = served(budget(sum(used) + 1, 8), **accounts)
    assert granted(done) == {first}


def test_share_is_of_the_namespaces_own_limit() -> None:
    """Breaks if plain use were compared: a uses more, but less of what it may."""
    accounts = {
        "a_old": account(held(3)),
        "b_old": account(held(2)),
        "a_new": account(asked(1, 5)),
        "b_new": account(asked(1, 0)),
    }
    assert granted(served(budget(6, 3, a=6), **accounts)) == {"a/new"}


def test_shares_are_looked_at_anew_with_each_grant() -> None:
    asks = {f"a_{number}": account(asked(1, number)) for number in range(4)}
    asks |= {f"b_{number}": account(asked(1, 10 + number)) for number in range(4)}
    assert granted(served(budget(4), **asks)) == {"a/0", "b/0", "a/1", "b/1"}
    line = waiting(served(budget(8), z_all=account(held(8, "previous")), **asks))
    assert line == ["a/0", "b/0", "a/1", "b/1", "a/2", "b/2", "a/3", "b/3"]


def test_what_is_free_is_kept_for_the_first_that_does_not_fit() -> None:
    """Breaks if small asks may pass a large one: it would wait for as long as there are small ones."""
    accounts = {
        "a_soaking": account(held(2), held(2, "previous")),
        "a_large": account(asked(4, 0)),
        "a_small": account(asked(1, 1)),
    }
    done = served(budget(6), **accounts)
    assert (granted(done), waiting(done)) == (set(), ["a/large", "a/small"])


def test_nothing_is_kept_for_an_ask_that_waiting_cannot_help() -> None:
    """Breaks if one ask that only a change by a person could fulfil kept everybody from what is free."""
    done = served(budget(6), a_old=account(held(3)), a_large=account(asked(4, 0)), a_small=account(asked(1, 1)))
    assert (granted(done), waiting(done)) == ({"a/small"}, [])
    assert [entry.key for entry in done.aside] == [("a", "large")]


@pytest.mark.parametrize("candidate", [2, 5])
def test_of_a_rollout_under_way_the_larger_version_stays(candidate: int) -> None:
    """4 can become free only if no more than 2 stay, whichever version wins."""
    accounts = {"a_old": account(held(2), held(candidate, "candidate")), "b_large": account(asked(6, 0))}
    done = served(budget(8), **accounts)
    assert len(done.waiting) == (1 if candidate == 2 else 0)
    assert len(done.aside) == (0 if candidate == 2 else 1)


def test_paused_rollout_lets_go_of_nothing() -> None:
    accounts = {"a_old": account(held(2), held(2, "previous"), paused=True), "b_large": account(asked(6, 0))}
    assert len(served(budget(8), **accounts).aside) == 1


def test_full_namespace_keeps_only_its_own_back() -> None:
    accounts = {
        "a_soaking": account(held(2), held(2, "previous")),
        "a_first": account(asked(2, 0)),
        "a_second": account(asked(1, 1)),
        "b_third": account(asked(2, 2)),
    }
    done = served(budget(16, 5), **accounts)
    assert (granted(done), waiting(done)) == ({"b/third"}, ["a/first", "a/second"])


@pytest.mark.parametrize(("waited", "first"), [(PATIENCE - 1, "b/late"), (PATIENCE, "a/early")])
def test_who_has_waited_very_long_is_served_whatever_the_shares(waited: float, first: str) -> None:
    """Breaks if a namespace that uses much could be passed for ever by others that come and go."""
    accounts = {
        key("a/old"): account(held(4)),
        key("a/early"): account(asked(1, 0)),
        key("b/late"): account(asked(1, waited - 1)),
    }
    assert granted(serve(budget(5), accounts, at(waited))) == {first}


@pytest.mark.parametrize(
    ("limits", "mine"),
    [
        (budget(4), account(asked(5))),
        (budget(16, 4), account(asked(5))),
        (budget(16, 4, a=0), account(asked(1))),
        (budget(4), account(held(2), asked(3))),  # it has to fit beside the version that serves meanwhile
        (budget(4), account(held(4), asked(2, role="stable", least=2))),
        (budget(4), account(held(9), asked(2))),  # what was there before the budget counts
    ],
)
def test_ask_above_the_whole_limit_never_fits(limits: Budget, mine: Account) -> None:
    done = served(limits, a_one=mine)
    assert (granted(done), done.waiting, done.aside) == (set(), (), ())
    assert [entry.key for entry in done.never] == [("a", "one")]


def test_running_workload_grows_pod_by_pod() -> None:
    growing = account(held(2), asked(6, 0, "stable", least=2))
    done = served(budget(7), a_one=growing)
    assert done.accounts["a", "one"].used == 6
    assert [entry.ask.amount for entry in done.never] == [2]  # three pods of two are all that 7 hold


def test_first_set_of_pods_is_granted_as_a_whole_or_not_at_all() -> None:
    done = served(budget(4), a_one=account(asked(3, 0)), a_two=account(asked(3, 1)))
    assert (granted(done), [one.used for one in done.accounts.values()]) == ({"a/one"}, [3, 0])


def test_budget_below_what_is_used_grants_nothing_and_takes_nothing() -> None:
    before = account(held(9))
    done = served(budget(4), a_old=before, b_new=account(asked(1)))
    assert done.accounts["a", "old"] == before
    assert granted(done) == set()
