"""Which version answers: the route, and the state of every version. Standard library only.

First version: one stable route and the states of a version. Promotion, candidates, handles and reclamation come on
top of the same route.
"""
