# Mark task complete
coordinator.complete_task(worker_id, task_id, success=True)

# Mark task failed
coordinator.complete_task(worker_id, task_id, success=False)
