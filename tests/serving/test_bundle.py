"""Bundles: which manifests and paths are accepted, that packing is canonical, and that every byte is checked."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luntra_serving.bundle.canonical import canonical_bytes, parse_manifest
from luntra_serving.bundle.main import main
from luntra_serving.bundle.manifest import Draft, Normalisation, OutputStep, Tolerance
from luntra_serving.bundle.pack import pack
from luntra_serving.bundle.paths import check_distinct, check_path
from luntra_serving.bundle.processing import Pipeline, softmax
from luntra_serving.bundle.samples import largest_excess, read_samples, write_samples
from luntra_serving.bundle.verify import Bundle, verify_folder
from luntra_serving.errors import PermanentLoadError, Reason
from tests.serving.bundles import POINTS, expected, points_bundle, points_draft, points_files, replace_text


def refusal(call: Any, *arguments: Any) -> PermanentLoadError:
    with pytest.raises(PermanentLoadError) as caught:
        call(*arguments)
    return caught.value


class TestPaths:
    @pytest.mark.parametrize(
        "path", ["model.onnx", "weights/part-0.bin", "a/b/c", "größe.txt", ".hidden", "a..b", "..."]
    )
    def test_relative_names_are_accepted(self, path: str) -> None:
        assert check_path(path) == path

    @pytest.mark.parametrize(
        ("path", "rule"),
        [
            ("..", "leaves the bundle folder"),
            ("../x", "leaves the bundle folder"),
            ("a/../../x", "leaves the bundle folder"),
            ("a/..", "leaves the bundle folder"),
            ("/etc/passwd", "is absolute"),
            ("~/x", "is absolute"),
            ("C:/x", "is absolute"),
            ("a\\b", "holds a backslash"),
            ("a\0b", "holds a control character"),
            ("a\nb", "holds a control character"),
            ("a\ud800b", "holds a control character"),
            ("", "is empty"),
            ("a//b", "has an empty or '.' segment"),
            ("./a", "has an empty or '.' segment"),
            ("a/", "has an empty or '.' segment"),
            ("model.yaml", "is the manifest itself"),
            ("MODEL.yaml", "is the manifest itself"),
            ("x" * 300, "has a segment longer"),
            ("x/" * 300, "is longer than 512 bytes"),
        ],
    )
    def test_a_path_that_could_mean_another_file_is_refused_with_its_rule(self, path: str, rule: str) -> None:
        with pytest.raises(ValueError, match=rule):
            check_path(path)

    @given(st.text(alphabet="./\\a~:\0\n", max_size=12))
    def test_no_accepted_path_leaves_the_folder(self, path: str) -> None:
        try:
            check_path(path)
        except ValueError:
            return
        root = Path("/bundle")
        assert root in Path(f"/bundle/{path}").resolve(strict=False).parents

    @pytest.mark.parametrize(
        ("paths", "problem"),
        [
            (["a", "a"], "listed twice"),
            (["a/Model.onnx", "a/model.onnx"], "only in letter case"),
            (["stra\u00dfe", "STRASSE"], "only in letter case"),
            (["\u00e9", "e\u0301"], "Unicode form"),
            (["a", "a/b"], "is a file, but 'a/b' needs it to be a folder"),
        ],
    )
    def test_two_paths_that_could_be_one_file_are_refused(self, paths: list[str], problem: str) -> None:
        with pytest.raises(ValueError, match=problem):
            check_distinct(paths)


class TestManifest:
    @pytest.mark.parametrize(
        ("changes", "problem"),
        [
            ({"apiVersion": "luntra.io/bundle/v2"}, "apiVersion: "),
            ({"surprise": 1}, "surprise: Extra inputs are not permitted"),
            ({"version": "v 1"}, "version: "),
            ({"backend": {"name": "onnx", "entry": "../m"}}, "backend.entry: path '../m' leaves the bundle folder"),
            ({"backend": {"name": "onnx", "entry": "other.onnx"}}, "backend.entry 'other.onnx' is not among files"),
            ({"preprocessing": [{"input": "pixels"}]}, "preprocessing names 'pixels', which the interface lacks"),
            ({"preprocessing": [{"input": "points"}] * 2}, "preprocessing names 'points' twice"),
            ({"preprocessing": [{"input": "points", "scale": [1.0, 2.0]}]}, "scale has 2 values, the last axis is 3"),
            ({"preprocessing": [{"input": "points", "scale": float("nan")}]}, "preprocessing.0.scale"),
            (
                {"postprocessing": [{"output": "probabilities", "tensor": "scores", "step": "argmax"}]},
                "argmax gives INT64, but the interface says FP32",
            ),
            (
                {"postprocessing": [{"output": "probabilities", "tensor": "scores", "step": "label"}]},
                "labels go with the step 'label'",
            ),
        ],
    )
    def test_an_inconsistent_manifest_names_the_field(
        self, tmp_path: Path, changes: dict[str, Any], problem: str
    ) -> None:
        points_files(tmp_path)
        (tmp_path / "model.yaml").write_text(json.dumps(points_draft(**changes)))
        error = refusal(pack, tmp_path)
        assert error.reason is Reason.INVALID_BUNDLE
        assert problem in error.message

    @pytest.mark.parametrize(
        "text",
        [
            "a: &x [1]\nb: *x\n",
            "name: a\nname: b\n",
            "- 1",
            "a: [",
            "\tx",
            "1: 2",
            "!!python/object:os.system {}",
            "",
            "[" * 500_000,
        ],
    )
    def test_yaml_that_readers_disagree_about_is_refused(self, text: str) -> None:
        assert refusal(parse_manifest, text.encode()).reason is Reason.INVALID_BUNDLE

    def test_packing_is_canonical_and_reading_it_back_gives_the_same_bytes(self, tmp_path: Path) -> None:
        first, second = points_bundle(tmp_path / "a"), points_bundle(tmp_path / "b")
        assert first.digest == second.digest == pack(tmp_path / "b").digest
        content = (tmp_path / "a" / "model.yaml").read_bytes()
        assert canonical_bytes(parse_manifest(content)) == content
        assert first.digest == "sha256:" + hashlib.sha256(content).hexdigest()

    def test_any_change_of_a_constant_changes_the_digest(self, tmp_path: Path) -> None:
        first = points_bundle(tmp_path / "a")
        other = [{"input": "points", "scale": 0.5, "offset": -1.0000001}]
        assert points_bundle(tmp_path / "b", preprocessing=other).digest != first.digest


class TestVerify:
    def test_every_flipped_byte_of_every_file_is_noticed(self, points: Bundle) -> None:
        for name in ("model.yaml", "model.onnx", "samples.npz"):
            path = points.folder / name
            content = path.read_bytes()
            for place in (0, len(content) // 2, len(content) - 1):
                path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
                assert refusal(verify_folder, points.folder, points.digest).reason is Reason.DIGEST_MISMATCH
            path.write_bytes(content)
        assert verify_folder(points.folder, points.digest) == points

    def test_a_file_that_nobody_listed_is_refused(self, points: Bundle) -> None:
        (points.folder / "extra.bin").write_text("x")
        assert "'extra.bin' is not listed in model.yaml" in refusal(verify_folder, points.folder).message

    def test_a_symbolic_link_is_refused_by_packing_and_by_verifying(self, points: Bundle, tmp_path: Path) -> None:
        points.entry.rename(tmp_path / "elsewhere")
        points.entry.symlink_to(tmp_path / "elsewhere")
        assert "symbolic link" in refusal(verify_folder, points.folder).message
        assert "symbolic link" in refusal(pack, points.folder).message

    def test_a_folder_behind_a_symbolic_link_is_refused(self, points: Bundle, tmp_path: Path) -> None:
        (tmp_path / "outside").mkdir()
        points.entry.rename(tmp_path / "outside" / "model.onnx")
        (points.folder / "sub").symlink_to(tmp_path / "outside")
        replace_text(points.folder, "path: model.onnx", "path: sub/model.onnx")
        replace_text(points.folder, "entry: model.onnx", "entry: sub/model.onnx")
        assert "symbolic link 'sub'" in refusal(verify_folder, points.folder).message

    def test_what_is_not_a_bundle_is_said_so(self, tmp_path: Path) -> None:
        assert "a bundle is a folder that luntra-bundle pack has packed" in refusal(verify_folder, tmp_path).message


class TestSamples:
    def test_samples_come_back_and_are_the_same_bytes_each_time(self, tmp_path: Path, points: Bundle) -> None:
        write_samples(tmp_path / "again.npz", {"points": POINTS}, {"probabilities": expected(POINTS)})
        assert (tmp_path / "again.npz").read_bytes() == points.samples.read_bytes()
        samples = read_samples(points.samples, points.manifest.interface)
        np.testing.assert_array_equal(samples.inputs["points"], POINTS)

    @pytest.mark.parametrize(
        ("inputs", "outputs", "problem"),
        [
            ({}, {"probabilities": expected(POINTS)}, "lacks the array 'input.points'"),
            ({"points": POINTS.astype(np.float64)}, {"probabilities": expected(POINTS)}, "is FP64"),
            ({"points": POINTS[:, :2]}, {"probabilities": expected(POINTS)}, r"FP32 [2, 2]"),
            ({"points": POINTS, "more": POINTS}, {"probabilities": expected(POINTS)}, "holds 'input.more'"),
        ],
    )
    def test_samples_that_do_not_fit_the_interface_are_refused(
        self, tmp_path: Path, points: Bundle, inputs: Any, outputs: Any, problem: str
    ) -> None:
        write_samples(tmp_path / "s.npz", inputs, outputs)
        error = refusal(read_samples, tmp_path / "s.npz", points.manifest.interface)
        assert problem in error.message

    def test_a_pickle_among_the_samples_is_not_opened(self, tmp_path: Path, points: Bundle) -> None:
        fired = tmp_path / "fired"

        class Trap:
            def __reduce__(self) -> Any:
                return (Path.touch, (fired,))

        with zipfile.ZipFile(tmp_path / "s.npz", "w") as archive, archive.open("input.points.npy", "w") as member:
            np.lib.format.write_array(member, np.array([Trap()], dtype=object), allow_pickle=True)
        error = refusal(read_samples, tmp_path / "s.npz", points.manifest.interface)
        assert error.reason is Reason.INVALID_BUNDLE
        assert not fired.exists()

    @pytest.mark.parametrize("bad", [np.nan, np.inf, 1.02])
    def test_a_value_beyond_the_tolerance_is_reported_with_the_bound(self, bad: float) -> None:
        want = np.array([[1.0, 1.0]], dtype=np.float32)
        have = np.array([[1.0, bad]], dtype=np.float32)
        problem = largest_excess(have, want, Tolerance(absolute=0, relative=0.01))
        assert problem is not None
        assert problem.startswith("at [0, 1] is ")
        assert "expected 1 within 0.01" in problem

    def test_a_value_within_the_tolerance_passes(self) -> None:
        want = np.array([1.0], dtype=np.float32)
        assert largest_excess(want * np.float32(1.005), want, Tolerance(absolute=0, relative=0.01)) is None
        assert largest_excess(np.array([b"a"], dtype=object), np.array([b"a"], dtype=object), Tolerance()) is None
        assert largest_excess(np.array([1]), np.array([2]), Tolerance()) == "at [0] is 1, expected 2 exactly"


class TestProcessing:
    def draft(self, **changes: Any) -> Draft:
        return Draft.model_validate(points_draft(**changes))

    def test_normalisation_is_value_times_scale_plus_offset_in_fp32(self) -> None:
        one = Pipeline(self.draft()).before({"points": POINTS})["points"]
        np.testing.assert_array_equal(one, POINTS * np.float32(0.5) - np.float32(1))
        step = Normalisation(input="points", scale=(1.0, 2.0, 3.0), offset=(0.0, 0.0, 1.0)).model_dump()
        many = Pipeline(self.draft(preprocessing=[step])).before({"points": POINTS.astype(np.int64)})["points"]
        np.testing.assert_array_equal(many, (POINTS.astype(np.int64) * [1, 2, 3] + [0, 0, 1]).astype(np.float32))
        assert many.dtype == np.float32

    def test_softmax_is_safe_for_large_scores(self) -> None:
        result = softmax(np.array([[1e4, 1e4 + 1], [-1e4, 0]], dtype=np.float32))
        np.testing.assert_allclose(result, [[0.26894143, 0.7310586], [0.0, 1.0]], rtol=1e-6)

    def test_argmax_and_label_name_the_best_position(self) -> None:
        outputs = [
            {"name": "best", "datatype": "INT64", "shape": [-1]},
            {"name": "word", "datatype": "BYTES", "shape": [-1]},
        ]
        steps = [
            OutputStep(output="best", tensor="scores", step="argmax").model_dump(),
            OutputStep(output="word", tensor="scores", step="label", labels=("links", "rechts")).model_dump(),
        ]
        interface = {"inputs": points_draft()["interface"]["inputs"], "outputs": outputs}
        draft = self.draft(interface=interface, postprocessing=steps)
        result = Pipeline(draft).after({"scores": np.array([[0.1, 0.9], [3, 2]], dtype=np.float32)})
        assert result["best"].tolist() == [1, 0]
        assert result["word"].tolist() == [b"rechts", b"links"]


class TestCommand:
    def test_pack_verify_and_inspect_work_in_a_row(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        points_files(tmp_path / "b")
        (tmp_path / "draft.yaml").write_text(json.dumps(points_draft()))
        assert main(["pack", str(tmp_path / "b"), "--draft", str(tmp_path / "draft.yaml")]) == 0
        digest = capsys.readouterr().out.splitlines()[1].removeprefix("digest ")
        assert main(["verify", str(tmp_path / "b"), "--digest", digest, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["digest"] == digest
        assert main(["inspect", str(tmp_path / "b")]) == 0
        shown = capsys.readouterr().out
        assert "input    points FP32 [-1, 3]" in shown
        assert "after    probabilities = softmax(scores)" in shown

    def test_a_bundle_that_is_not_in_order_gives_the_reason_and_code_1(
        self, points: Bundle, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["verify", str(points.folder), "--digest", "sha256:" + "0" * 64, "--json"]) == 1
        captured = capsys.readouterr()
        assert captured.err.startswith("luntra-bundle: DigestMismatch: model.yaml at ")
        assert json.loads(captured.out)["reason"] == "DigestMismatch"
