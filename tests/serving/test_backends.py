"""The backends: what they load, what they refuse before reading it, and that both give the same numbers."""

from __future__ import annotations

import importlib.util
import io
import pickle
import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from luntra_serving.backends.archive import refuse_disguised_pickle
from luntra_serving.bundle.pack import pack
from luntra_serving.bundle.samples import read_samples
from luntra_serving.errors import PermanentLoadError, Reason, RequestError
from luntra_serving.server.model import ReadyModel
from tests.serving.bundles import OFFSET, POINTS, SCALE, WEIGHTS, echo_bundle, expected, load_model, points_bundle

if TYPE_CHECKING:
    from luntra_serving.bundle.verify import Bundle

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="torch (5 GB) is not in this environment: uv sync --group demo"
)


class Trap:
    """A pickle of this makes a file when it is read."""

    def __init__(self, fired: Path) -> None:
        self.fired = fired

    def __reduce__(self) -> Any:
        return (Path.touch, (self.fired,))


def torchscript(folder: Path, write: Any) -> Bundle:
    bundle = points_bundle(folder)
    bundle.entry.unlink()
    write(folder / "model.pt")
    draft = bundle.manifest.model_copy(
        update={"backend": bundle.manifest.backend.model_copy(update={"name": "torchscript", "entry": "model.pt"})}
    )
    return pack(folder, draft)


class TestOnnx:
    def test_infers_what_the_graph_computes_for_any_batch(self, points: Bundle) -> None:
        model = ReadyModel(points.manifest, load_model(points, threads=1))
        for count in (0, 1, 7):
            batch = np.random.default_rng(count).normal(size=(count, 3)).astype(np.float32)
            if count:
                np.testing.assert_allclose(model.infer({"points": batch})["probabilities"], expected(batch), rtol=1e-5)
            else:
                assert model.infer({"points": batch})["probabilities"].shape == (0, 2)
        model.loaded.close()

    def test_text_that_is_not_utf8_is_the_clients_error(self, tmp_path: Path) -> None:
        bundle = echo_bundle(tmp_path)
        inputs = read_samples(bundle.samples, bundle.manifest.interface).inputs
        inputs["texts"] = np.array([b"\xff", b""], dtype=np.object_)
        with pytest.raises(RequestError, match="takes UTF-8 text") as caught:
            load_model(bundle, threads=1).infer(inputs)
        assert caught.value.status == 400

    def test_a_bare_pickle_is_refused_and_not_opened(self, points: Bundle, tmp_path: Path) -> None:
        points.entry.write_bytes(pickle.dumps(Trap(tmp_path / "fired")))
        with pytest.raises(PermanentLoadError, match="is a bare pickle") as caught:
            load_model(points, threads=1)
        assert caught.value.reason is Reason.UNSAFE_MODEL
        assert not (tmp_path / "fired").exists()

    def test_names_that_the_graph_lacks_are_named_at_load(self, tmp_path: Path) -> None:
        step = {"output": "probabilities", "tensor": "logits", "step": "softmax"}
        bundle = points_bundle(tmp_path, postprocessing=[step])
        with pytest.raises(PermanentLoadError, match="disagree about logits: the graph has scores") as caught:
            load_model(bundle, threads=1)
        assert caught.value.reason is Reason.INVALID_BUNDLE

    def test_an_output_of_another_type_than_promised_fails_the_self_test(self, tmp_path: Path) -> None:
        bundle = points_bundle(tmp_path)
        spec = bundle.manifest.interface.outputs[0].model_copy(update={"datatype": "FP64"})
        interface = bundle.manifest.interface.model_copy(update={"outputs": (spec,)})
        model = ReadyModel(bundle.manifest.model_copy(update={"interface": interface}), load_model(bundle, threads=1))
        with pytest.raises(PermanentLoadError, match="came out as float32"):
            model.self_test(read_samples(bundle.samples, bundle.manifest.interface))


class TestDisguise:
    """Refused by layout alone: these run without torch, which shows that nothing is deserialised."""

    def refused(self, path: Path) -> str:
        with pytest.raises(PermanentLoadError) as caught:
            refuse_disguised_pickle(path)
        assert caught.value.reason is Reason.UNSAFE_MODEL
        return caught.value.message

    @pytest.mark.parametrize("protocol", [0, 2, 5])
    def test_a_bare_pickle_is_refused_and_not_opened(self, tmp_path: Path, protocol: int) -> None:
        path = tmp_path / "model.pt"
        path.write_bytes(pickle.dumps(Trap(tmp_path / "fired"), protocol))
        assert "it was not opened" in self.refused(path)
        assert not (tmp_path / "fired").exists()

    def test_the_zip_of_torch_save_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "model.pt"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("model/data.pkl", pickle.dumps(Trap(tmp_path / "fired")))
            archive.writestr("model/version", "3")
        assert "is the zip of torch.save" in self.refused(path)
        assert not (tmp_path / "fired").exists()

    def test_a_damaged_zip_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "model.pt").write_bytes(b"PK\x03\x04" + b"\0" * 100)
        assert "starts like a zip but is damaged" in self.refused(tmp_path / "model.pt")

    def test_a_zip_with_two_roots_is_refused(self, tmp_path: Path) -> None:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name in ("a/constants.pkl", "a/code/m.py", "b/data.pkl"):
                archive.writestr(name, "x")
        (tmp_path / "model.pt").write_bytes(buffer.getvalue())
        self.refused(tmp_path / "model.pt")


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="torch is here")
def test_without_torch_a_torchscript_bundle_names_the_image_that_it_needs(tmp_path: Path) -> None:
    bundle = torchscript(tmp_path, lambda path: path.write_bytes(b"x"))
    with pytest.raises(PermanentLoadError, match=r"needs torch, which is not installed here.*luntra-serving\[torch\]"):
        load_model(bundle, threads=1)


@needs_torch
class TestTorchScript:
    def save(self, path: Path) -> None:
        import torch

        points = torch.nn.Linear(3, 2, bias=False)
        points.weight.data = torch.from_numpy(WEIGHTS.T.copy())
        with warnings.catch_warnings():
            # What torch says about its own future is not what is tested here.
            warnings.filterwarnings("ignore", message="`torch.jit", category=FutureWarning)
            torch.jit.save(torch.jit.script(points), str(path))

    def test_gives_the_same_numbers_as_onnx(self, tmp_path: Path) -> None:
        bundle = torchscript(tmp_path, self.save)
        model = ReadyModel(bundle.manifest, load_model(bundle, threads=1))
        model.self_test(read_samples(bundle.samples, bundle.manifest.interface))
        np.testing.assert_allclose(model.infer({"points": POINTS})["probabilities"], expected(POINTS), rtol=1e-5)
        assert (SCALE, OFFSET) == (0.5, -1.0)

    def test_takes_tensors_that_it_may_not_write(self, tmp_path: Path) -> None:
        bundle = torchscript(tmp_path, self.save)
        frozen = np.frombuffer(POINTS.tobytes(), dtype=np.float32).reshape(2, 3)
        assert load_model(bundle, threads=1).infer({"points": frozen})["scores"].shape == (2, 2)

    def test_what_a_module_raises_is_its_own_fault(self, tmp_path: Path) -> None:
        """Breaks if that passes for a client's error (RequestError), which is held against no version; shapes are checked before."""
        bundle = torchscript(tmp_path, self.save)
        with pytest.raises(RuntimeError, match="cannot be multiplied"):
            load_model(bundle, threads=1).infer({"points": POINTS[:, :2]})

    def test_what_torch_save_writes_is_refused(self, tmp_path: Path) -> None:
        import torch

        bundle = torchscript(tmp_path, lambda path: torch.save({"w": torch.zeros(2)}, path))
        with pytest.raises(PermanentLoadError) as caught:
            load_model(bundle, threads=1)
        assert caught.value.reason is Reason.UNSAFE_MODEL

    def test_an_archive_that_torch_cannot_read_is_a_load_failure(self, tmp_path: Path) -> None:
        def write(path: Path) -> None:
            with zipfile.ZipFile(path, "w") as archive:
                for name in ("m/constants.pkl", "m/code/m.py", "m/data.pkl"):
                    archive.writestr(name, "x")

        with pytest.raises(PermanentLoadError) as caught:
            load_model(torchscript(tmp_path, write), threads=1)
        assert caught.value.reason is Reason.LOAD_FAILED
