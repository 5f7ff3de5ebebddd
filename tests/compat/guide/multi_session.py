from core.parallel import SessionManager, WorkerCoordinator

session_manager = SessionManager()
worker_coordinator = WorkerCoordinator(max_workers=5)

# Create two sessions
session1 = session_manager.create_session("Build Frontend", total_tasks=20)
session2 = session_manager.create_session("Build Backend", total_tasks=30)

# Start both
session_manager.start_session(session1.session_id)
session_manager.start_session(session2.session_id)

# Lock different files to avoid conflicts
session_manager.lock_files(session1.session_id, [
    "frontend/app.tsx",
    "frontend/components.tsx",
])

session_manager.lock_files(session2.session_id, [
    "backend/server.py",
    "backend/routes.py",
])

# Distribute tasks across workers
tasks = [
    ("frontend-task-1", session1.session_id),
    ("frontend-task-2", session1.session_id),
    ("backend-task-1", session2.session_id),
    ("backend-task-2", session2.session_id),
]

for task_id, session_id in tasks:
    worker_id = worker_coordinator.assign_task(task_id, {}, session_id)
    if worker_id:
        print(f"{task_id} → worker {worker_id}")
