# Scale to 5 workers
coordinator.scale_workers(5)

# Scale down to 2 workers (removes idle workers)
coordinator.scale_workers(2)
