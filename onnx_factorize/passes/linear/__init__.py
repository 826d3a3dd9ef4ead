"""Linear operators: what one is as a layer, how its weight is seen, and how it is registered.

Beneath the passes, and beneath the operators, which are a file each in `passes/operators`.
"""
