"""What runs a model: one Protocol, and one module for each vendor library, imported only when a bundle names it.

A backend is given a bundle whose every byte was verified; it deserialises, and knows nothing of HTTP or of versions.
"""
