from core.parallel import SessionManager, WorkerCoordinator

# Initialize
session_manager = SessionManager()
worker_coordinator = WorkerCoordinator(max_workers=3)

# Create session
session = session_manager.create_session(
    name="Build v3.1",
    total_tasks=10,
)

# Register workers
workers = []
for i in range(3):
    worker = worker_coordinator.register_worker(
        metadata={'index': i}
    )
    workers.append(worker)

# Start session
session_manager.start_session(
    session.session_id,
    worker_id=workers[0].worker_id,
)

# Lock files
files_to_modify = ["src/app.py", "src/utils.py"]
session_manager.lock_files(session.session_id, files_to_modify)

# Assign tasks
for i in range(10):
    worker_id = worker_coordinator.assign_task(
        task_id=f"task-{i}",
        task_data={'index': i},
        session_id=session.session_id,
    )

    if worker_id:
        print(f"Task {i} assigned to worker {worker_id}")
        # Execute task...
        worker_coordinator.complete_task(worker_id, f"task-{i}", success=True)
    else:
        print(f"Task {i} queued")

# Update progress
session_manager.update_progress(
    session.session_id,
    completed_tasks=10,
)

# Complete session
session_manager.complete_session(session.session_id)
