"""Model server of Luntra: Open Inference Protocol v2 over verified, swappable model bundles."""

from __future__ import annotations

__version__ = "0.1.0"
