"""Model server of Luntra: Open Inference Protocol v2 over verified, swappable model bundles."""
