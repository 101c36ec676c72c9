"""Change the model behind an endpoint while requests run. Standard library only; knows nothing of HTTP or of any backend.

`Swapper` is the way in: `load`, `promote`, `split`, `rollback`, `retire` for whoever manages, `acquire` for a request.
"""
