"""Settings come from the environment, and a wrong one is told by variable, value and fix."""

import pytest

from luntra_operator.fleet.budget import Budget
from luntra_operator.runtime.settings import Settings, SettingsError
from luntra_operator.sources.hosts import parse

NEEDED = {"LUNTRA_SERVING_IMAGE": "luntra/inference:1", "LUNTRA_CHECK_IMAGE": "luntra/operator:1"}


def test_defaults_need_only_the_two_images() -> None:
    settings = Settings.from_environment(NEEDED)
    assert (settings.serving_image, settings.check_image) == ("luntra/inference:1", "luntra/operator:1")
    assert (settings.namespaces, settings.workers, settings.port, settings.leader_election) == ((), 8, 8080, True)
    assert settings.identity


def test_every_variable_is_read() -> None:
    settings = Settings.from_environment(
        {
            **NEEDED,
            "LUNTRA_NAMESPACE": "luntra-system",
            "LUNTRA_IDENTITY": "pod-1",
            "LUNTRA_WATCH_NAMESPACES": "team-a, team-b,,",
            "LUNTRA_WORKERS": "3",
            "LUNTRA_PORT": "9000",
            "LUNTRA_LEADER_ELECTION": "False",
            "LUNTRA_ACCELERATORS": '{"resource": "nvidia.com/gpu", "total": 16, "namespaces": {"team-a": 8}}',
            "LUNTRA_PROMETHEUS": "http://prometheus.monitoring.svc:9090",
            "LUNTRA_SOURCE_HOSTS": "stats.example:443, *.{namespace}.svc",
        }
    )
    assert settings == Settings(
        "luntra/inference:1",
        "luntra/operator:1",
        "luntra-system",
        "pod-1",
        ("team-a", "team-b"),
        3,
        9000,
        False,
        Budget("nvidia.com/gpu", 16, None, {"team-a": 8}),
        "http://prometheus.monitoring.svc:9090",
        parse("stats.example:443, *.{namespace}.svc", "http://prometheus.monitoring.svc:9090"),
    )


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("LUNTRA_SOURCE_HOSTS", "a.example, http://b", "'http://b' is no host; write host, host:port"),
        ("LUNTRA_PROMETHEUS", "prometheus:9090", "'prometheus:9090' is no address of a Prometheus; write it like"),
    ],
)
def test_host_that_is_none_is_named_with_the_variable(name: str, value: str, told: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.from_environment({**NEEDED, name: value})
    assert str(refused.value).startswith(f"{name}: {told}")


@pytest.mark.parametrize("value", ["", " ", "{}"])
def test_without_a_budget_nobody_counts_accelerators(value: str) -> None:
    assert Settings.from_environment({**NEEDED, "LUNTRA_ACCELERATORS": value}).accelerators is None


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("16", "Input should be a valid dictionary"),
        ("nvidia.com/gpu: 16", "which is no JSON"),
        ('{"total": 16}', "resource: Field required"),
        ('{"resource": "nvidia.com/gpu"}', "total: Field required"),
        ('{"resource": "gpu", "total": 16}', "resource: String should match pattern"),
        ('{"resource": "nvidia.com/gpu", "total": 0}', "total: Input should be greater than or equal to 1"),
        ('{"resource": "nvidia.com/gpu", "total": "16"}', "total: Input should be a valid integer"),
        ('{"resource": "nvidia.com/gpu", "total": 1.5}', "total: Input should be a valid integer"),
        ('{"resource": "nvidia.com/gpu", "total": 16, "perNamespace": -1}', "perNamespace: "),
        ('{"resource": "nvidia.com/gpu", "total": 16, "namespaces": {"team-a": -1}}', "namespaces.team-a: "),
        (
            '{"resource": "nvidia.com/gpu", "total": 16, "perNamspace": 4}',
            "perNamspace: Extra inputs are not permitted",
        ),
    ],
)
def test_budget_that_is_none_is_named_with_its_value_and_the_fix(value: str, told: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.from_environment({**NEEDED, "LUNTRA_ACCELERATORS": value})
    message = str(refused.value)
    assert message.startswith(f"LUNTRA_ACCELERATORS is {value!r}")
    assert told in message
    assert 'write it like {"resource": "nvidia.com/gpu", "total": 16' in message


@pytest.mark.parametrize("name", sorted(NEEDED))
@pytest.mark.parametrize("value", [None, "", "  "])
def test_missing_image_is_named(name: str, value: str | None) -> None:
    environment = {key: text for key, text in NEEDED.items() if key != name}
    if value is not None:
        environment[name] = value
    with pytest.raises(SettingsError, match=rf"^{name} is not set; it names the "):
        Settings.from_environment(environment)


@pytest.mark.parametrize("name", ["LUNTRA_WORKERS", "LUNTRA_PORT"])
@pytest.mark.parametrize("value", ["0", "-1", "many", "1.5"])
def test_number_that_is_none_is_named_with_its_value(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=rf"^{name} is '{value}'; give a whole number of at least 1$"):
        Settings.from_environment({**NEEDED, name: value})
