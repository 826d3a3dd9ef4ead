"""Narrowing: which channels go, what that loses, and how their readers make up for them."""
