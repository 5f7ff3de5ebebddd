"""Generated from the protos by `make stubs`; nothing else lives here."""
