"""The command line, `br parallel` and `br-parallel`. Importing it loads neither gRPC nor the stubs."""
