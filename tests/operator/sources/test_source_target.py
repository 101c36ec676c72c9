"""How a query learns whom it is about."""

from dataclasses import replace

import pytest

from luntra_operator.api.sources import PLACEHOLDERS
from luntra_operator.sources.errors import TemplateError
from luntra_operator.sources.target import Target, fill, span


def test_every_placeholder_that_the_api_tells_of_is_filled_and_no_other(target: Target) -> None:
    assert tuple(target.values()) == PLACEHOLDERS
    template = " ".join(f"{{{{ {name} }}}}" for name in PLACEHOLDERS)
    assert fill(template, target) == "team-a gas-price 0a1b2c3d4e f0e1d2c3b4 gas-price-w2 gas-price-w1 30s"


def test_braces_of_promql_are_left_alone(target: Target) -> None:
    query = 'sum(rate(errors{revision="{{revision}}"}[{{ window }}])) / sum(rate(all{code=~"[0-9]{3}"}[{{window}}]))'
    filled = fill(query, target)
    assert filled == 'sum(rate(errors{revision="0a1b2c3d4e"}[30s])) / sum(rate(all{code=~"[0-9]{3}"}[30s]))'


@pytest.mark.parametrize("placeholder", ["Name", "pod", "", "name | quote", "__class__", "name\n}"])
def test_unknown_placeholder_is_refused_and_the_known_ones_are_told(target: Target, placeholder: str) -> None:
    with pytest.raises(TemplateError, match="there are namespace, name, revision, stableRevision"):
        fill(f"{{{{ {placeholder} }}}}", target)


def test_first_version_has_no_stable_one_to_compare_with(target: Target) -> None:
    first = replace(target, stable_revision=None, stable_workload=None)
    assert fill("{{ revision }}", first) == "0a1b2c3d4e"
    with pytest.raises(TemplateError, match="stableRevision has no value: there is no stable version yet"):
        fill("{{ stableRevision }}", first)


@pytest.mark.parametrize("value", ['x"} or vector(0) #', "a b", "../..", "a\n", "", "A", "x" * 254, "a{{ name }}"])
def test_value_that_is_no_name_gets_into_no_query(target: Target, value: str) -> None:
    with pytest.raises(TemplateError, match="no name that Kubernetes knows"):
        fill('up{name="{{ name }}"}', replace(target, name=value))


@pytest.mark.parametrize(
    ("seconds", "written"), [(30, "30s"), (1.5, "1500ms"), (60.0, "60s"), (0.0001, "1ms"), (0.25, "250ms")]
)
def test_window_is_a_duration_of_promql(seconds: float, written: str) -> None:
    assert span(seconds) == written


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_window_without_an_extent_is_refused(seconds: float) -> None:
    with pytest.raises(TemplateError, match="window is"):
        span(seconds)
