"""What a container engine left on the machine is told from what was there."""

from __future__ import annotations

from e2e.kind import host_state

BEFORE = """\
*filter
:INPUT ACCEPT [12:900]
:FORWARD ACCEPT [0:0]
:MINE - [0:0]
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
COMMIT
"""
AFTER = """\
*nat
:PREROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER -i docker0 -j RETURN
COMMIT
*filter
:INPUT ACCEPT [99:9000]
:FORWARD DROP [0:0]
:DOCKER - [0:0]
:LATER - [0:0]
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
-A INPUT -p tcp -m tcp --dport 80 -m comment --comment "of somebody else" -j ACCEPT
-A FORWARD -o br-0123456789ab -j DOCKER
COMMIT
"""


def test_nothing_is_taken_back_where_nothing_changed() -> None:
    assert host_state.removals("iptables", BEFORE, BEFORE.replace("12:900", "13:999")) == []


def test_rules_go_before_the_chains_they_name_and_tightened_policies_come_back() -> None:
    commands = [" ".join(words) for words in host_state.removals("iptables", BEFORE, AFTER)]
    assert commands == [
        "iptables --wait -t nat -D PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
        "iptables --wait -t nat -D POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE",
        "iptables --wait -t nat -D DOCKER -i docker0 -j RETURN",
        "iptables --wait -t filter -D FORWARD -o br-0123456789ab -j DOCKER",
        "iptables --wait -t nat -X DOCKER",
        "iptables --wait -t filter -X DOCKER",
        "iptables --wait -t filter -P FORWARD ACCEPT",
    ]


def test_what_somebody_else_added_meanwhile_stays() -> None:
    commands = host_state.removals("iptables", BEFORE, AFTER)
    assert not any("80" in words or "LATER" in words for words in commands)


def test_a_policy_that_was_tight_before_stays_tight() -> None:
    before = BEFORE.replace(":FORWARD ACCEPT", ":FORWARD DROP")
    assert not any("-P" in words for words in host_state.removals("iptables", before, AFTER))


def test_a_comment_of_several_words_is_one_argument() -> None:
    after = BEFORE.replace("COMMIT", '-A FORWARD -i docker0 -m comment --comment "two words" -j DROP\nCOMMIT')
    assert host_state.removals("iptables", BEFORE, after)[0][-3:] == ["two words", "-j", "DROP"]
