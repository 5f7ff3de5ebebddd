"""The coordinator of BuildRunner parallel: one process that owns sessions, tasks, workers and path locks.

Nothing is exported here; start it with `python -m buildrunner_coordinator` or `br parallel serve`.
"""
