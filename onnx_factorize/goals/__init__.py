"""Goals of a result: budgets of size, arithmetic and time, and guarantees on quality."""
