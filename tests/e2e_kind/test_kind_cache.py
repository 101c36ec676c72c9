"""The content-keyed cache: complete or absent, built once."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from e2e.kind import cache
from e2e.kind.progress import Progress


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("LUNTRA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def progress() -> Progress:
    return Progress(io.StringIO())


def write_hello(target: Path) -> None:
    (target / "hello").write_text("hello")


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUNTRA_CACHE", "/somewhere")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache.root() == Path("/somewhere")
    monkeypatch.delenv("LUNTRA_CACHE")
    assert cache.root() == Path("/xdg/luntra")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert cache.root() == Path("/home/somebody/.cache/luntra")


def test_a_content_key_depends_on_where_its_parts_end() -> None:
    assert cache.content_key("ab", "c") != cache.content_key("a", "bc")
    assert cache.content_key("ab", "c") == cache.content_key("ab", b"c")
    assert len(cache.content_key("a")) == 12


def test_a_tree_key_changes_with_bytes_names_and_the_executable_bit(tmp_path: Path) -> None:
    folder = tmp_path / "tree"
    folder.mkdir()
    file = folder / "a"
    file.write_text("1")
    first = cache.tree_key(folder)
    file.write_text("2")
    second = cache.tree_key(folder)
    file.chmod(0o755)
    third = cache.tree_key(folder)
    file.rename(folder / "b")
    assert len({first, second, third, cache.tree_key(folder)}) == 4


def test_a_tree_key_does_not_see_byte_code(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("1")
    before = cache.tree_key(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.pyc").write_text("x")
    assert cache.tree_key(tmp_path) == before


def test_an_entry_is_built_once(progress: Progress) -> None:
    calls = []

    def build(target: Path) -> None:
        calls.append(target)
        write_hello(target)

    first = cache.ensure("things", "hello", "1", build, progress)
    assert cache.ensure("things", "hello", "1", build, progress) == first
    assert (first / "hello").read_text() == "hello"
    assert len(calls) == 1


def test_another_key_is_another_entry(progress: Progress) -> None:
    first = cache.ensure("things", "hello", "1", write_hello, progress)
    assert cache.ensure("things", "hello", "2", write_hello, progress) != first


def test_a_build_that_fails_leaves_nothing(progress: Progress, own_cache: Path) -> None:
    def fail(target: Path) -> None:
        write_hello(target)
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        cache.ensure("things", "hello", "1", fail, progress)
    assert cache.cached("things", "hello", "1") is None
    assert list((own_cache / "tmp").iterdir()) == []


KILLED = """
import os, signal
from e2e.kind import cache
from e2e.kind.progress import Progress

def build(target):
    (target / "half").write_text("x")
    os.kill(os.getpid(), signal.SIGKILL)

cache.ensure("things", "hello", "1", build, Progress())
"""


def test_a_build_that_was_killed_is_not_used_and_is_cleared_by_the_next(progress: Progress, own_cache: Path) -> None:
    status = subprocess.run([sys.executable, "-c", KILLED], check=False, capture_output=True).returncode
    assert status == -9
    assert cache.cached("things", "hello", "1") is None
    assert len(list((own_cache / "tmp").iterdir())) == 1
    path = cache.ensure("things", "hello", "1", write_hello, progress)
    assert [file.name for file in path.iterdir()] == ["hello"]
    assert list((own_cache / "tmp").iterdir()) == []


HOLDER = """
import sys
from e2e.kind import cache
from e2e.kind.progress import Progress

with cache.lock("thing", Progress()):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_run_waits_for_the_first_and_says_so(own_cache: Path) -> None:
    said = io.StringIO()
    holder = subprocess.Popen([sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdin is not None
    assert holder.stdout is not None
    with holder:
        assert holder.stdout.readline() == b"held\n"
        waiter = subprocess.Popen(
            [sys.executable, "-c", HOLDER], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        with waiter:
            assert waiter.stderr is not None
            assert f"waiting for process {holder.pid}" in waiter.stderr.readline().decode()
            assert waiter.poll() is None
            holder.stdin.close()
            assert waiter.wait(10) == 0
    started = time.monotonic()
    with cache.lock("thing", Progress(said)):
        assert time.monotonic() - started < 1
    assert said.getvalue() == ""


def test_mounts_are_taken_away_innermost_first() -> None:
    line = "36 35 98:0 / {} rw,noatime - ext3 /dev/root rw"
    table = "\n".join(line.format(point) for point in ("/", "/a/b", "/a/b/c\\040d", "/ab"))
    assert cache.mount_points(table, "/a") == ["/a/b/c d", "/a/b"]


def test_two_runs_do_not_share_a_lock_of_another_name(progress: Progress) -> None:
    with cache.lock("one", progress), cache.lock("two", progress):
        assert (cache.root() / "locks" / "one").read_text() == str(os.getpid())
