"""What the cluster harness decides before it does anything."""

from __future__ import annotations

import io
import socket
import tarfile
from pathlib import Path

import pytest
import yaml

from e2e.kind import (
    binaries,
    cluster,
    cluster_plan,
    component_images,
    debian,
    diagnosis,
    gateway,
    gobuild,
    images,
    istio,
    node_image,
    preflight,
)
from e2e.kind import prometheus as monitoring
from e2e.kind.errors import HarnessError
from e2e.kind.progress import Progress, clock_face


@pytest.mark.parametrize("name", ["luntra", "luntra-k", "luntra-e2e-2"])
def test_a_cluster_of_ours_is_accepted(name: str) -> None:
    cluster_plan.check_name(name)


@pytest.mark.parametrize(
    "name", ["kind", "prod", "luntrax", "xluntra", "luntra-", "luntra-K", "luntra/..", "luntra-" + "x" * 40]
)
def test_a_cluster_that_is_not_ours_is_refused_by_name(name: str) -> None:
    with pytest.raises(HarnessError, match="is not touched"):
        cluster_plan.check_name(name)


@pytest.mark.parametrize("command", [cluster.up, cluster.down, cluster.status])
def test_every_command_refuses_before_it_does_anything(command: object) -> None:
    assert callable(command)
    with pytest.raises(HarnessError, match="'prod' is not touched"):
        command("prod")


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("go1.26.8", (1, 26, 8)),
        ("go version go1.27 linux/amd64", (1, 27, 0)),
        ("devel +abc", None),
        ("", None),
    ],
)
def test_go_versions_are_read(text: str, version: tuple[int, int, int] | None) -> None:
    assert gobuild.parse_go_version(text) == version


def test_a_go_is_compared_by_numbers_not_by_letters() -> None:
    assert gobuild.new_enough("go1.26.10", "1.26.9")
    assert gobuild.new_enough("go1.100.0", "1.26.0")
    assert not gobuild.new_enough("go1.9.9", "1.26.0")
    assert not gobuild.new_enough("nonsense", "1.26.0")


def test_the_wrapper_replaces_staging_modules_by_the_published_ones() -> None:
    own = "module k8s.io/kubernetes\nreplace (\n\tk8s.io/api => ./staging/src/k8s.io/api\n\tx.y/z => ./tools\n)\n"
    program = gobuild.GoProgram("kubectl", "k8s.io/kubernetes", "v1.36.3", "k/cmd/kubectl", wrapped=("k/cmd/kubectl",))
    text = gobuild.wrapper_module(program, own)
    assert "require k8s.io/kubernetes v1.36.3\n" in text
    assert "replace k8s.io/api => k8s.io/api v0.36.3\n" in text
    assert "x.y/z" not in text
    assert "tool k/cmd/kubectl\n" in text


def test_the_key_of_a_program_depends_on_how_it_is_compiled() -> None:
    plain = gobuild.GoProgram("a", "m", "v1", "m/a")
    others = [
        gobuild.GoProgram("a", "m", "v2", "m/a"),
        gobuild.GoProgram("a", "m", "v1", "m/a", tags="x"),
        gobuild.GoProgram("a", "m", "v1", "m/a", ldflags="-s"),
        gobuild.GoProgram("a", "m", "v1", "m/a", requires=(("n", "v1"),)),
    ]
    assert len({program.key for program in (plain, *others)}) == 5


def test_a_wrapper_asks_for_later_versions_of_what_a_program_needs() -> None:
    program = gobuild.GoProgram("a", "m", "v1", "m/a", wrapped=("m/a",), requires=(("n", "v2"),))
    assert "require m v1\nrequire n v2\n" in gobuild.wrapper_module(program, "module m\n")


def test_kubernetes_is_told_its_version() -> None:
    flags = binaries.kubernetes_ldflags("v1.36.3")
    assert "-X k8s.io/component-base/version.gitVersion=v1.36.3" in flags
    assert "-X k8s.io/client-go/pkg/version.gitMinor=36" in flags


def test_an_unknown_program_is_named_with_the_known_ones() -> None:
    with pytest.raises(HarnessError, match=r"'kubctl'.*kubectl"):
        binaries.binary("kubctl")


def test_the_capability_is_read_from_the_bounding_set() -> None:
    assert not preflight.has_capability(24, "CapEff:\tffffffffffffffff\nCapBnd:\t000001fffeffffff\n")
    assert preflight.has_capability(24, "CapBnd:\t000001ffffffffff\n")


def test_the_decision_about_pulling_holds_for_a_day() -> None:
    assert preflight.decision_is_fresh(1000.0, 1000.0 + 3600)
    assert not preflight.decision_is_fresh(1000.0, 1000.0 + 25 * 3600)
    assert not preflight.decision_is_fresh(2000.0, 1000.0)


def test_missing_programs_are_named_with_the_command_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(HarnessError, match="Type: sudo apt-get install some-package"):
        debian.require({"no-such-program": "some-package"}, "to test", Progress(io.StringIO()))


def test_only_sources_of_our_debian_are_used(tmp_path: Path) -> None:
    folder = tmp_path / "sources.list.d"
    folder.mkdir()
    (folder / "debian.sources").write_text("Types: deb\nSuites: bookworm bookworm-updates\n")
    (folder / "vendor.list").write_text("deb https://example.org/apt tool-bookworm main\n")
    (folder / "debian.sources.off").write_text("Suites: bookworm\n")
    assert debian.debian_sources(tmp_path) == [str(folder / "debian.sources")]


def test_the_node_has_two_local_ports_one_share_and_accepts_cgroup_v1() -> None:
    config = yaml.safe_load(cluster_plan.kind_config(Path("/share"), 18080, 19090))
    node = config["nodes"][0]
    assert [(m["containerPort"], m["hostPort"]) for m in node["extraPortMappings"]] == [(30080, 18080), (30090, 19090)]
    assert {m["listenAddress"] for m in node["extraPortMappings"]} == {"127.0.0.1"}
    assert node["extraMounts"] == [{"hostPath": "/share", "containerPath": "/luntra-share"}]
    assert yaml.safe_load(config["kubeadmConfigPatches"][0])["failCgroupV1"] is False


def test_what_is_sent_to_an_unknown_service_does_not_leave_the_cluster() -> None:
    """Breaks if kube-proxy is left in the mode iptables, which lets addresses that it does not know pass."""
    assert yaml.safe_load(cluster_plan.kind_config(Path("/share"), 1, 2))["networking"] == {"kubeProxyMode": "nftables"}


@pytest.mark.parametrize("built", [True, False])
def test_manifests_are_complete_and_their_node_ports_are_the_mapped_ones(built: bool) -> None:
    for text, port in (
        (gateway.manifest(built), gateway.NODE_PORT),
        (monitoring.manifest(built), monitoring.NODE_PORT),
    ):
        assert "@" not in text.replace("(a)", "")
        services = [d for d in yaml.safe_load_all(text) if d["kind"] == "Service"]
        assert port in [entry.get("nodePort") for service in services for entry in service["spec"]["ports"]]


@pytest.mark.parametrize("built", [True, False])
def test_istios_manifest_is_complete_and_only_adds_to_its_own_namespace(built: bool) -> None:
    documents = list(yaml.safe_load_all(istio.manifest(built)))
    assert "@" not in istio.manifest(built).replace("@type", "")
    assert {d["metadata"]["namespace"] for d in documents if "namespace" in d["metadata"]} == {istio.NAMESPACE}
    names = {d["kind"]: d["metadata"]["name"] for d in documents}
    assert f"{istio.NAMESPACE}/{names['Gateway']}" == istio.GATEWAY


def test_kinds_configuration_of_containerd_is_adapted() -> None:
    of_kind = """version = 2
[proxy_plugins]
[proxy_plugins."fuse-overlayfs"]
  type = "snapshot"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "registry.k8s.io/pause:3.10"
  restrict_oom_score_adj = false
"""
    ours = node_image.containerd_config(of_kind)
    assert "fuse-overlayfs" not in ours
    assert 'sandbox_image = "registry.k8s.io/pause:3.10.2"' in ours
    assert "restrict_oom_score_adj = true" in ours
    assert 'conf_template = "/etc/containerd/cni.tmpl"' in ours


def test_links_are_followed_inside_the_other_root(tmp_path: Path) -> None:
    (tmp_path / "usr/lib").mkdir(parents=True)
    (tmp_path / "lib").symlink_to("usr/lib")
    (tmp_path / "usr/lib/libx.so.1.2").touch()
    (tmp_path / "usr/lib/libx.so.1").symlink_to("/lib/libx.so.1.2")
    assert component_images.resolve_inside(tmp_path, "/lib/libx.so.1") == tmp_path / "usr/lib/libx.so.1.2"


def test_the_same_image_is_the_same_bytes(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"x" * 1000)
    image = component_images.ComponentImage("a:b", ("/p",), {"/p": program}, {"/q": "p"})
    component_images.write_archive(image, tmp_path / "1.tar")
    component_images.write_archive(image, tmp_path / "2.tar")
    assert members(tmp_path / "1.tar") == members(tmp_path / "2.tar")


def members(archive: Path) -> list[tuple[str, bytes]]:
    with tarfile.open(archive) as tar:
        return [(m.name, file.read()) for m in tar.getmembers() if (file := tar.extractfile(m))]


def test_an_unknown_variant_is_named_with_the_known_ones() -> None:
    with pytest.raises(HarnessError, match=r"'tensorflow'.*onnx, torch"):
        images.inference("tensorflow")


def test_the_tag_of_an_image_follows_code_lock_and_base(tmp_path: Path) -> None:
    code = tmp_path / "operator/src/module.py"
    code.parent.mkdir(parents=True)
    for file in ("operator/Dockerfile", "operator/pyproject.toml", "operator/src/module.py"):
        (tmp_path / file).write_text("1")
    first = images.image_key(images.OPERATOR, "a==1", "base", tmp_path)
    assert images.image_key(images.OPERATOR, "a==2", "base", tmp_path) != first
    assert images.image_key(images.OPERATOR, "a==1", "other", tmp_path) != first
    code.write_text("2")
    assert images.image_key(images.OPERATOR, "a==1", "base", tmp_path) != first


def test_progress_says_how_far_and_how_long() -> None:
    said, now = io.StringIO(), [0.0]
    progress = Progress(said, lambda: now[0])
    progress.expect(2)
    with progress.step("compile kubectl"):
        now[0] = 161.0
    assert said.getvalue().splitlines() == ["00:00   1/2 compile kubectl ...", "02:41   1/2 compile kubectl: 161 s"]


def test_a_program_that_fails_is_reported_with_the_end_of_its_log(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LUNTRA_CACHE", str(tmp_path))
    with pytest.raises(HarnessError, match=r"(?s)exit status 3.*logs/words.log.*the reason"):
        Progress(io.StringIO()).run(["sh", "-c", "echo the reason; exit 3"], "words")


def test_durations_look_like_a_stop_watch() -> None:
    assert [clock_face(seconds) for seconds in (0, 59.9, 61, 3600)] == ["00:00", "00:59", "01:01", "60:00"]


def test_a_pod_without_the_condition_is_not_ready() -> None:
    assert not diagnosis.pod_is_ready({})
    assert not diagnosis.pod_is_ready({"conditions": [{"type": "Ready", "status": "False"}]})
    assert diagnosis.pod_is_ready({"conditions": [{"type": "Ready", "status": "True"}]})


def test_a_taken_port_is_named_with_the_option_that_changes_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(HarnessError, match=rf"port {port} .* --gateway-port"):
            cluster_plan.choose_ports("luntra", port, None)


def test_a_spare_cluster_does_not_take_the_ports_of_the_first() -> None:
    assert not set(cluster_plan.choose_ports("luntra-spare", None, None)) & set(cluster_plan.DEFAULT_PORTS)
