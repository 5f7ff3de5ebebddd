"""The one place that wires concrete classes: state directory, log, store, core, engine, server, signals."""
