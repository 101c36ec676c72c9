"""The recorded objects are those that the operator writes today."""

from luntra_operator.api.vocabulary import Phase
from tests.gitops.recording import recorded, stored


def test_recorded_objects_are_what_the_operator_writes() -> None:
    """Breaks if a status, a condition or a reason changes: python -m tests.gitops.recording, then look at the difference."""
    assert stored() == recorded()


def test_every_phase_is_recorded() -> None:
    """Pending lasts for one turn, in which nothing is written, unless no operator has seen the object."""
    assert {body.get("status", {}).get("phase", "Pending") for body in stored().values()} == set(Phase)
