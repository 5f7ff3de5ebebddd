from core.orchestrator import Orchestrator
from core.parallel import SessionManager, WorkerCoordinator

class ParallelOrchestrator(Orchestrator):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.session_manager = SessionManager()
        self.worker_coordinator = WorkerCoordinator(max_workers=5)

    def execute_batches_parallel(self, batches, session_name):
        # Create session
        session = self.session_manager.create_session(
            name=session_name,
            total_tasks=len(batches),
        )

        # Collect all files that will be modified
        all_files = set()
        for batch in batches:
            all_files.update(batch.expected_files)

        # Lock files
        self.session_manager.lock_files(session.session_id, list(all_files))

        # Distribute batches to workers
        for batch in batches:
            worker_id = self.worker_coordinator.assign_task(
                task_id=batch.id,
                task_data=batch.to_dict(),
                session_id=session.session_id,
            )

            if worker_id:
                # Execute on worker
                self.execute_batch_on_worker(batch, worker_id)

        # Wait for completion
        self.wait_for_session(session.session_id)

        # Cleanup
        self.session_manager.unlock_files(session.session_id)
        self.session_manager.complete_session(session.session_id)
