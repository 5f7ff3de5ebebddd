try:
    session_manager.lock_files(session_id, files)
except ValueError as e:
    # Files locked by another session
    # Wait, retry, or choose different files
    print(f"Conflict: {e}")
