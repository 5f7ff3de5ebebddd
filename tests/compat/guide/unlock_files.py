# Unlock specific files
session_manager.unlock_files(session_id, ["src/app.py"])

# Unlock all files
session_manager.unlock_files(session_id)
