"""The model bundle: a folder whose `model.yaml` names every file by size and sha256, and whose identity is its digest.

Manifest, paths, canonical bytes, packing, verification, processing constants and self-test samples. Nothing here
fetches anything, and nothing here deserialises a model.
"""
