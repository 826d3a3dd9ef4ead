"""What a result must meet: budgets of size, arithmetic and time, and guarantees on quality."""
