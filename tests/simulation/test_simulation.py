"""The whole controller in a simulated world: many seeds end well, each replays exactly, and a broken guard is found."""

import json

import pytest

from tests.operator.controller.fake_time import in_fake_time

from .story import Story, tell

BATCHES, SEEDS = 20, 100


@pytest.mark.parametrize("batch", range(BATCHES))
def test_every_story_ends_well(batch: int) -> None:
    for seed in range(batch * SEEDS, (batch + 1) * SEEDS):
        outcome = tell(seed)
        assert outcome.violated is None, f"{outcome.violated}; replay: python -m tests.simulation --seed {seed}"


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_same_seed_tells_the_same_story(seed: int) -> None:
    assert tell(seed).trace.lines() == tell(seed).trace.lines()


def test_nobody_changes_what_is_stored() -> None:
    """The simulated API server makes no copies: whoever changed an object in place would change history."""

    async def story() -> None:
        told, stored = Story(4), []
        told.server.listeners.append(lambda write: stored.append((write.after, json.dumps(write.after))))
        assert (await told.told()).violated is None
        assert stored
        assert [body for body, text in stored if json.dumps(body) != text] == []

    in_fake_time(story())
