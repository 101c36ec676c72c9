"""Fetching bundles: from files and over https, bounded and verified, into a cache that never shows half of one."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from luntra_serving.artifacts import cache as cache_module
from luntra_serving.artifacts.cache import BundleCache
from luntra_serving.artifacts.source import Source, without_password
from luntra_serving.errors import LoadError, PermanentLoadError, Reason, TransientLoadError
from tests.serving.bundles import points_bundle
from tests.serving.processes import ServerProcess
from tests.serving.tls import Authority, Site, https_site, make_authority

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from luntra_serving.bundle.verify import Bundle


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def site(tmp_path: Path, authority: Authority, points: Bundle) -> Iterator[Site]:
    with https_site(points.folder.parent, authority) as running:
        yield running


@pytest.fixture
def trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))


@pytest.fixture
def cache(tmp_path: Path) -> BundleCache:
    return BundleCache(tmp_path / "cache")


def problem(kind: type[LoadError], call: Any, *arguments: Any) -> LoadError:
    with pytest.raises(kind) as caught:
        call(*arguments)
    return caught.value


def left_over(tmp_path: Path) -> list[Path]:
    return [*tmp_path.glob("cache/unfinished/*"), *tmp_path.glob("cache/bundles/*")]


class TestSource:
    @pytest.mark.parametrize("uri", ["s3://bucket/x", "http://host/x", "oci://host/x", "/plain/path", "ftp://h/x", ""])
    def test_other_schemes_are_refused_with_those_that_work(self, uri: str) -> None:
        error = problem(PermanentLoadError, Source, uri)
        assert error.reason is Reason.UNSUPPORTED_SCHEME
        assert "supported are https://host/path and file:///path" in error.message

    @pytest.mark.parametrize("uri", ["file://host/x", "https://host/x?token=1", "file:///x#y"])
    def test_a_uri_that_cannot_name_a_folder_is_refused(self, uri: str) -> None:
        assert problem(PermanentLoadError, Source, uri).reason is Reason.INVALID_DOCUMENT

    def test_a_password_in_a_uri_is_in_no_message(self) -> None:
        assert without_password("https://user:secret@host/x") == "https://…@host/x"
        error = problem(PermanentLoadError, Source, "ftp://user:secret@host/x")
        assert "secret" not in error.message


class TestFiles:
    def test_a_bundle_is_copied_whole_and_verified(self, points: Bundle, cache: BundleCache, tmp_path: Path) -> None:
        bundle = cache.obtain(Source(points.folder.as_uri()), points.digest)
        assert bundle.manifest == points.manifest
        assert bundle.folder == tmp_path / "cache" / "bundles" / points.digest.removeprefix("sha256:")
        assert sorted(path.name for path in bundle.folder.iterdir()) == ["model.onnx", "model.yaml", "samples.npz"]
        assert not list(tmp_path.glob("cache/unfinished/*"))

    def test_what_is_in_the_cache_is_used_without_the_source(self, points: Bundle, cache: BundleCache) -> None:
        cache.obtain(Source(points.folder.as_uri()), points.digest)
        shutil.rmtree(points.folder)
        assert cache.obtain(Source(points.folder.as_uri()), points.digest).digest == points.digest

    def test_what_was_damaged_in_the_cache_is_noticed_and_fetched_again(
        self, points: Bundle, cache: BundleCache
    ) -> None:
        kept = cache.obtain(Source(points.folder.as_uri()), points.digest)
        kept.entry.write_bytes(b"damaged")
        again = cache.obtain(Source(points.folder.as_uri()), points.digest)
        assert again.entry.read_bytes() == points.entry.read_bytes()

    def test_a_bundle_in_subfolders_is_fetched(self, tmp_path: Path, cache: BundleCache) -> None:
        folder = tmp_path / "deep"
        points_bundle(folder)
        (folder / "a b/ü").mkdir(parents=True)
        (folder / "a b/ü/notes.txt").write_text("kept")
        bundle = points_bundle(folder)
        assert (cache.obtain(Source(folder.as_uri()), bundle.digest).folder / "a b/ü/notes.txt").read_text() == "kept"

    def test_a_file_behind_a_symbolic_link_is_refused(self, points: Bundle, cache: BundleCache, tmp_path: Path) -> None:
        outside = points.entry.rename(tmp_path / "outside.onnx")
        points.entry.symlink_to(outside)
        error = problem(PermanentLoadError, cache.obtain, Source(points.folder.as_uri()), points.digest)
        assert error.reason is Reason.INVALID_BUNDLE
        assert "symbolic link 'model.onnx'" in error.message
        assert left_over(tmp_path) == []

    def test_a_missing_file_may_still_come_and_leaves_nothing_behind(
        self, points: Bundle, cache: BundleCache, tmp_path: Path
    ) -> None:
        points.samples.unlink()
        error = problem(TransientLoadError, cache.obtain, Source(points.folder.as_uri()), points.digest)
        assert error.reason is Reason.SOURCE_UNAVAILABLE
        assert error.message.endswith(
            "samples.npz: there is no such file; check spec.model.uri and that the upload is complete"
        )
        assert left_over(tmp_path) == []

    @pytest.mark.parametrize("content", [b"", b"short", b"x" * 100_000])
    def test_a_truncated_or_grown_file_is_a_mismatch(
        self, points: Bundle, cache: BundleCache, tmp_path: Path, content: bytes
    ) -> None:
        points.entry.write_bytes(content)
        error = problem(PermanentLoadError, cache.obtain, Source(points.folder.as_uri()), points.digest)
        assert error.reason is Reason.DIGEST_MISMATCH
        assert "file 'model.onnx'" in error.message
        assert left_over(tmp_path) == []

    def test_a_manifest_above_the_limit_is_not_read_to_its_end(
        self, points: Bundle, cache: BundleCache, tmp_path: Path
    ) -> None:
        with (points.folder / "model.yaml").open("wb") as file:
            file.truncate(50 << 30)
        error = problem(PermanentLoadError, cache.obtain, Source(points.folder.as_uri()), points.digest)
        assert "model.yaml" in error.message
        assert "larger than 1048576 bytes" in error.message

    def test_a_bundle_above_the_limit_is_refused_before_its_files_are_fetched(
        self, points: Bundle, tmp_path: Path
    ) -> None:
        points.entry.unlink()
        small = BundleCache(tmp_path / "cache", max_bytes=100)
        error = problem(PermanentLoadError, small.obtain, Source(points.folder.as_uri()), points.digest)
        assert error.reason is Reason.BUNDLE_TOO_LARGE
        assert "at most 100 are accepted" in error.message

    def test_a_bundle_that_does_not_fit_on_the_disk_is_refused_with_numbers(
        self, points: Bundle, cache: BundleCache, tmp_path: Path
    ) -> None:
        small = BundleCache(tmp_path / "cache", free_bytes=lambda _: 100)
        error = problem(TransientLoadError, small.obtain, Source(points.folder.as_uri()), points.digest)
        assert error.reason is Reason.CACHE_UNAVAILABLE
        assert f"the bundle needs {points.manifest.total_bytes} bytes" in error.message
        assert "has 100 free" in error.message

    def test_a_full_disk_is_said_so_and_leaves_nothing_behind(
        self, points: Bundle, cache: BundleCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: Any) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(cache_module, "_fetch_file", full)
        error = problem(TransientLoadError, cache.obtain, Source(points.folder.as_uri()), points.digest)
        assert error.reason is Reason.CACHE_UNAVAILABLE
        assert "No space left on device" in error.message
        assert left_over(tmp_path) == []

    def test_what_a_dead_fetch_left_is_removed_and_what_a_living_one_works_on_is_not(
        self, points: Bundle, cache: BundleCache, tmp_path: Path
    ) -> None:
        dead, living = tmp_path / "cache/unfinished/dead", tmp_path / "cache/unfinished/living"
        for folder in (dead, living):
            (folder / "bundle").mkdir(parents=True)
        held = os.open(living, os.O_RDONLY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX)
            cache.obtain(Source(points.folder.as_uri()), points.digest)
            assert not dead.exists()
            assert living.exists()
        finally:
            os.close(held)


class TestHttps:
    @pytest.mark.usefixtures("trusted")
    def test_a_bundle_is_fetched_with_one_get_for_each_file(
        self, site: Site, points: Bundle, cache: BundleCache
    ) -> None:
        bundle = cache.obtain(Source(f"{site.uri}/points-v1"), points.digest)
        assert bundle.manifest == points.manifest
        assert site.asked == [("GET", f"/points-v1/{name}") for name in ("model.yaml", "model.onnx", "samples.npz")]

    def test_an_authority_that_is_not_trusted_is_refused_with_what_to_set(
        self, site: Site, points: Bundle, cache: BundleCache
    ) -> None:
        error = problem(TransientLoadError, cache.obtain, Source(f"{site.uri}/points-v1"), points.digest)
        assert error.reason is Reason.SOURCE_UNAVAILABLE
        assert "SSL_CERT_FILE" in error.message

    def test_a_server_process_trusts_the_authority_that_its_environment_names(
        self, site: Site, authority: Authority, points: Bundle, tmp_path: Path, document: Any
    ) -> None:
        path = document(points, uri=f"{site.uri}/points-v1")
        environment = {"SSL_CERT_FILE": str(authority.certificate)}
        with ServerProcess("--document", path, "--cache-dir", tmp_path / "c", environment=environment) as server:
            server.wait_ready()
        with ServerProcess("--document", path, "--cache-dir", tmp_path / "d", impatient=True) as server:
            assert server.wait() == 1

    @pytest.mark.usefixtures("trusted")
    def test_a_redirect_within_https_is_followed(self, site: Site, points: Bundle, cache: BundleCache) -> None:
        for name in ("model.yaml", "model.onnx", "samples.npz"):
            site.redirects[f"/latest/{name}"] = f"/points-v1/{name}"
        assert cache.obtain(Source(f"{site.uri}/latest"), points.digest).digest == points.digest

    @pytest.mark.usefixtures("trusted")
    @pytest.mark.parametrize("target", ["http://127.0.0.1:9/model.yaml", "file:///etc/passwd", "HTTP://127.0.0.1:9/"])
    def test_a_redirect_away_from_https_is_refused(
        self, site: Site, points: Bundle, cache: BundleCache, target: str
    ) -> None:
        site.redirects["/points-v1/model.yaml"] = target
        error = problem(PermanentLoadError, cache.obtain, Source(f"{site.uri}/points-v1"), points.digest)
        assert error.reason is Reason.UNSUPPORTED_SCHEME
        assert "which is not https" in error.message

    @pytest.mark.usefixtures("trusted")
    def test_redirects_in_a_circle_end(self, site: Site, points: Bundle, cache: BundleCache) -> None:
        site.redirects["/points-v1/model.yaml"] = "/points-v1/model.yaml"
        error = problem(TransientLoadError, cache.obtain, Source(f"{site.uri}/points-v1"), points.digest)
        assert error.reason is Reason.SOURCE_UNAVAILABLE

    @pytest.mark.usefixtures("trusted")
    @pytest.mark.parametrize(
        ("status", "words"), [(404, "there is no such file"), (403, "answered 403"), (503, "answered 503")]
    )
    def test_an_error_status_is_named(
        self, site: Site, points: Bundle, cache: BundleCache, status: int, words: str
    ) -> None:
        site.statuses["/points-v1/model.onnx"] = status
        error = problem(TransientLoadError, cache.obtain, Source(f"{site.uri}/points-v1"), points.digest)
        assert "/points-v1/model.onnx: " in error.message
        assert words in error.message

    @pytest.mark.usefixtures("trusted")
    def test_a_connection_that_breaks_off_is_tried_again_later_and_never_used(
        self, site: Site, points: Bundle, cache: BundleCache, tmp_path: Path
    ) -> None:
        site.truncated.add("/points-v1/model.onnx")
        problem(TransientLoadError, cache.obtain, Source(f"{site.uri}/points-v1"), points.digest)
        assert left_over(tmp_path) == []
        site.truncated.clear()
        assert cache.obtain(Source(f"{site.uri}/points-v1"), points.digest).digest == points.digest

    @pytest.mark.usefixtures("trusted")
    def test_a_source_that_stalls_is_given_up(self, site: Site, points: Bundle, cache: BundleCache) -> None:
        site.stalled.add("/points-v1/model.onnx")
        source = Source(f"{site.uri}/points-v1", stall_seconds=0.3)
        error = problem(TransientLoadError, cache.obtain, source, points.digest)
        assert error.reason is Reason.SOURCE_UNAVAILABLE
