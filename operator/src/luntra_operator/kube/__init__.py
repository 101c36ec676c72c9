"""The only importer of `kubernetes`: dicts in, dicts out, typed errors."""
