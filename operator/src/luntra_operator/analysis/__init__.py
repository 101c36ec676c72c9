"""Pure statistics: is the candidate worse than the stable version by more than is allowed?"""
