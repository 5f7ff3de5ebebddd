"""gRPC: convert, ask the engine, convert. May import engine, domain and the generated stubs."""
