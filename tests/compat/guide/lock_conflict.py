# Session 1 locks files
session_manager.lock_files(session1_id, ["src/app.py", "src/utils.py"])

# Session 2 tries to lock overlapping files - raises ValueError
try:
    session_manager.lock_files(session2_id, ["src/utils.py", "src/config.py"])
except ValueError as e:
    print(f"Conflict: {e}")
    # Output: Files already locked by session <session1_id>: src/utils.py
