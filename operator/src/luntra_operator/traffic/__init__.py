"""Pure builders and readers of the objects that split the traffic, one file per provider."""
