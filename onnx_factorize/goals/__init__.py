"""Promises on quality: the smallest model that keeps one."""
