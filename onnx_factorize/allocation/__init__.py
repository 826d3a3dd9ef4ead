"""Allocation of ranks to operators: the cost of cuts, the Lagrangian, the search around it."""
