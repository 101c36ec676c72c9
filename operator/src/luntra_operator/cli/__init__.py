"""The command line of Luntra: `luntra`, also `kubectl luntra`.

It reads what the operator wrote into the objects' status, shows it as a person wants to see it, and decides nothing.
"""
