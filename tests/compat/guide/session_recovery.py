from core.parallel import SessionManager

# Load existing sessions from disk
session_manager = SessionManager()

# Get interrupted sessions
interrupted = [
    s for s in session_manager.list_sessions()
    if s.status == SessionStatus.RUNNING
]

# Resume each one
for session in interrupted:
    print(f"Resuming session: {session.name}")
    # Session already in RUNNING state, just need to reassign work
    # ... assign pending tasks to workers ...
