from core.parallel import WorkerCoordinator

coordinator = WorkerCoordinator(max_workers=5)
worker = coordinator.register_worker()

# Send heartbeat every 10 seconds
import time
while True:
    coordinator.heartbeat(worker.worker_id)
    time.sleep(10)
