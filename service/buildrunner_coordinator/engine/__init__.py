"""The engine: one writer that applies batches of commands to the core and tells nobody before the commit.

May import the store's contract and the domain; knows nothing of gRPC or of concrete stores.
"""
