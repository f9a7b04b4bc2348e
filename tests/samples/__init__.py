"""Calls and functions that several suites read."""
