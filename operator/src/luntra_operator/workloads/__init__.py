"""Pure builders of the objects that serve and check a version. Nothing here reads a cluster."""
