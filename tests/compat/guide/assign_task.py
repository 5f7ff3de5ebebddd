# Assign task to idle worker
worker_id = coordinator.assign_task(
    task_id="task-1",
    task_data={'description': 'Build feature X'},
    session_id=session.session_id,
)

if worker_id:
    print(f"Task assigned to worker: {worker_id}")
else:
    print("No workers available - task queued")
