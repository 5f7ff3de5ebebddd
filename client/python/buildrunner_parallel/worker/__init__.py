"""What runs tasks: the worker program, its supervisor process and its handler hosts.

Nothing is imported here, so that the supervisor process starts without paying for gRPC.
"""
