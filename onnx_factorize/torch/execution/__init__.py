"""Programs in torch and how they run: the table of operators, types, steps, and errors."""
