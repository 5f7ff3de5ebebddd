"""Where the coordinator's rows are kept. The contract is `base.Store`; the core decides, stores only keep."""
