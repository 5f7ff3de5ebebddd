from core.parallel import SessionManager

session_manager = SessionManager()
session = session_manager.create_session("Build", total_tasks=10)

# Lock files this session will modify
files = ["src/app.py", "src/utils.py", "tests/test_app.py"]
session_manager.lock_files(session.session_id, files)
