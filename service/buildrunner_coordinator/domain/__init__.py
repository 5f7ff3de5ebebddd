"""The rules of the coordinator, as plain data and functions.

Standard library only; no I/O, no clock, no randomness: time, ids and seeds come in with the commands.
"""
