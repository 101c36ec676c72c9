"""Bundles from where they are published to a folder of our own: fetched within bounds, verified, kept by digest."""
