"""Which operator is cut to which rank: the purchase within a budget, and the search around it."""
