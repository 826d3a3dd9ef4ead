"""Which operator is cut to which rank: what cuts cost, the allocation, the search around it."""
