"""Stands in for the coordinator in the keeper's tests; found first by way of PYTHONPATH."""
