"""The command `luntra-bundle`: pack, verify and inspect bundles. Argument parsing and printing only."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luntra_serving.bundle.pack import pack, read_draft
from luntra_serving.bundle.paths import MANIFEST
from luntra_serving.bundle.verify import Bundle, verify_folder
from luntra_serving.errors import LoadError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from luntra_serving.bundle.manifest import TensorSpec


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 0, or 1 with the reason on stderr if the bundle is not in order."""
    options = _parser().parse_args(arguments)
    try:
        bundle = _run(options)
    except LoadError as error:
        if options.json:
            print(json.dumps({"ok": False, "reason": error.reason, "message": error.message}))
        print(f"luntra-bundle: {error}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(_summary(bundle), indent=2))
    else:
        print(_text(options.action, bundle))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="luntra-bundle", description="Pack, verify and inspect model bundles.")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    descriptions = {
        "pack": f"list every file of FOLDER in a canonical {MANIFEST}, made from the draft that lies there",
        "verify": "check every file of FOLDER against the manifest, and the manifest against --digest",
        "inspect": "show what FOLDER serves (it is verified first)",
    }
    for name, description in descriptions.items():
        action = actions.add_parser(name, help=description, description=description)
        action.add_argument("folder", type=Path, metavar="FOLDER")
        action.add_argument("--json", action="store_true", help="print JSON for programs")
        if name == "pack":
            action.add_argument("--draft", type=Path, help=f"draft manifest (default: FOLDER/{MANIFEST})")
        else:
            action.add_argument("--digest", help="sha256:… that the manifest must have")
    return parser


def _run(options: argparse.Namespace) -> Bundle:
    if options.action == "pack":
        return pack(options.folder, read_draft(options.draft) if options.draft else None)
    return verify_folder(options.folder, options.digest)


def _summary(bundle: Bundle) -> dict[str, Any]:
    manifest = bundle.manifest.model_dump(mode="json", exclude_none=True)
    return {"ok": True, "digest": bundle.digest, "bytes": bundle.manifest.total_bytes, **manifest}


def _text(action: str, bundle: Bundle) -> str:
    manifest = bundle.manifest
    title = f"{manifest.name} {manifest.version}"
    size = f"{len(manifest.files)} files, {_bytes(manifest.total_bytes)}"
    if action == "pack":
        return f"packed {title}: {size}\ndigest {bundle.digest}"
    if action == "verify":
        return f"verified {title}: {size}, all as listed\ndigest {bundle.digest}"
    lines = [title, f"  digest   {bundle.digest}", f"  backend  {manifest.backend.name}, from {manifest.backend.entry}"]
    lines += [f"  input    {_tensor(spec)}" for spec in manifest.interface.inputs]
    lines += [f"  output   {_tensor(spec)}" for spec in manifest.interface.outputs]
    lines += [f"  labels   {name}: {', '.join(labels)}" for name, labels in manifest.interface.labels.items()]
    lines += [f"  before   {step.input} x {step.scale} + {step.offset}" for step in manifest.preprocessing]
    lines += [f"  after    {step.output} = {step.step}({step.tensor})" for step in manifest.postprocessing]
    lines += [f"  file     {_bytes(file.size):>10}  {file.sha256[:12]}…  {file.path}" for file in manifest.files]
    return "\n".join(lines)


def _tensor(spec: TensorSpec) -> str:
    return f"{spec.name} {spec.datatype} {list(spec.shape)}"


def _bytes(count: int) -> str:
    size = float(count)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


if __name__ == "__main__":
    sys.exit(main())
