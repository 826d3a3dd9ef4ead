"""Budgets of measured time."""
