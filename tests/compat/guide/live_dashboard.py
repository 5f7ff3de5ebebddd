from core.parallel import SessionManager, WorkerCoordinator, LiveDashboard, DashboardConfig

session_manager = SessionManager()
worker_coordinator = WorkerCoordinator(max_workers=5)

# Configure dashboard
config = DashboardConfig(
    refresh_rate=0.5,
    compact_mode=False,
    max_sessions_display=10,
    max_workers_display=20,
)

# Create dashboard
dashboard = LiveDashboard(session_manager, worker_coordinator, config)

# Show live dashboard (blocking)
dashboard.start_live(duration=60)  # Run for 60 seconds

# Or get snapshot
dashboard.render_snapshot()

# Or get summary data
summary = dashboard.get_summary()
print(f"Active sessions: {summary['sessions']['active']}")
print(f"Worker utilization: {summary['workers']['utilization']}%")
