"""Wire messages to domain and back. The only modules that import both; they decide nothing else."""
