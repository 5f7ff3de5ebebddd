from core.parallel import WorkerCoordinator
import threading
import time

class CustomWorker:
    def __init__(self, coordinator: WorkerCoordinator):
        self.coordinator = coordinator
        self.worker = coordinator.register_worker(metadata={
            'type': 'custom',
            'version': '1.0',
        })
        self.running = True

    def start(self):
        # Heartbeat thread
        heartbeat_thread = threading.Thread(target=self._heartbeat_loop)
        heartbeat_thread.start()

        # Work loop
        work_thread = threading.Thread(target=self._work_loop)
        work_thread.start()

    def _heartbeat_loop(self):
        while self.running:
            self.coordinator.heartbeat(self.worker.worker_id)
            time.sleep(10)  # Every 10 seconds

    def _work_loop(self):
        while self.running:
            # Check for assigned task
            worker = self.coordinator.get_worker(self.worker.worker_id)
            if worker.current_task:
                self._execute_task(worker.current_task)
            time.sleep(1)

    def _execute_task(self, task_id: str):
        try:
            # Execute task...
            result = self.execute_task_logic(task_id)
            self.coordinator.complete_task(
                self.worker.worker_id,
                task_id,
                success=True,
            )
        except Exception as e:
            self.coordinator.complete_task(
                self.worker.worker_id,
                task_id,
                success=False,
            )

    def stop(self):
        self.running = False
        self.coordinator.unregister_worker(self.worker.worker_id)
