use super::*;
use crate::testing::Folder;
use crate::v1::{AuditMode, WorkingDirectory};

fn run_of(spec: TaskSpec) -> Arc<TaskRun> {
    let assignment = Assignment {
        attempt_id: "a1".into(),
        fence: 7,
        session_id: "s1".into(),
        session_name: "Docs".into(),
        number: 2,
        spec: Some(spec),
        ..Default::default()
    };
    let surroundings = Surroundings {
        worker_id: "w1".into(),
        address: "unix:/s".into(),
        slot: 3,
        output_head_bytes: 1 << 20,
        output_tail_bytes: 1 << 20,
    };
    Arc::new(TaskRun::new(assignment, surroundings).unwrap())
}

fn command(line: &str) -> Arc<TaskRun> {
    run_of(TaskSpec::shell("t1", line))
}

fn report_of(run: &Arc<TaskRun>, handler: Option<&Handler>) -> TaskReport {
    run.run(true, handler, &|| {});
    assert!(run.is_over());
    run.report()
}

fn output_of(run: &TaskRun) -> String {
    let chunks = run.with_output(|output| output.from(0));
    String::from_utf8(chunks.into_iter().flat_map(|chunk| chunk.data).collect()).unwrap()
}

/// Runs it beside the test; what it writes first says that it is there.
fn in_background(run: &Arc<TaskRun>) -> std::thread::JoinHandle<TaskReport> {
    let background = Arc::clone(run);
    let thread = std::thread::spawn(move || report_of(&background, None));
    while output_of(run).is_empty() {
        std::thread::yield_now();
    }
    thread
}

#[test]
fn a_command_knows_who_it_is_and_its_end_is_reported() {
    let run = command("echo $BR_SESSION_NAME $BR_TASK_ID $BR_ATTEMPT $BR_FENCE $BR_SLOT; exit 3");
    let report = report_of(&run, None);
    assert_eq!(output_of(&run), "Docs t1 2 7 3\n");
    assert_eq!((report.outcome(), report.exit_code, report.signal), (Outcome::Failed, Some(3), 0));
    assert_eq!((report.attempt_id.as_str(), report.fence, report.output_bytes), ("a1", 7, 14));
    assert!(report.pid > 0 && report.started_at_us > 0 && report.ended_at_us >= report.started_at_us);
}

#[test]
fn result_and_error_come_from_their_files() {
    let line =
        r"printf '{}' >$BR_RESULT_FILE; printf 'first\nthe\tlast\n\n' >$BR_ERROR_FILE; ls -d ${BR_RESULT_FILE%/*}";
    let run = command(line);
    let report = report_of(&run, None);
    assert_eq!((report.outcome(), report.error.as_str()), (Outcome::Succeeded, "the last"));
    assert_eq!(report.result.unwrap().data, b"{}");
    assert!(!std::path::Path::new(output_of(&run).trim()).exists(), "the folder goes with the task");
}

#[test]
fn a_cancelled_one_ends_as_it_was_told_to() {
    let run = command("echo up; exec sleep 1000");
    let thread = in_background(&run);
    run.stop(Outcome::Cancelled, None);
    run.stop(Outcome::Lost, None);
    let report = thread.join().unwrap();
    assert_eq!((report.outcome(), report.exit_code, report.signal), (Outcome::Cancelled, None, libc::SIGTERM));
}

#[test]
fn what_does_not_listen_is_killed_after_the_grace() {
    let run = command("trap '' TERM; echo up; while :; do sleep 0.05; done");
    let thread = in_background(&run);
    run.stop(Outcome::Cancelled, Some(0));
    let report = thread.join().unwrap();
    assert_eq!((report.outcome(), report.signal), (Outcome::Cancelled, libc::SIGKILL));
}

#[test]
fn what_succeeds_all_the_same_has_succeeded() {
    let run = command("trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done");
    let thread = in_background(&run);
    run.stop(Outcome::Cancelled, None);
    assert_eq!(thread.join().unwrap().outcome(), Outcome::Succeeded);
}

#[test]
fn a_timeout_counts_from_the_start() {
    let run = run_of(TaskSpec { timeout_ms: 1, ..TaskSpec::shell("t1", "exec sleep 1000") });
    assert_eq!(report_of(&run, None).outcome(), Outcome::TimedOut);
}

#[test]
fn one_that_was_stopped_before_does_not_start() {
    let folder = Folder::new();
    let file = folder.path().join("ran");
    let run = command(&format!("touch {}", file.display()));
    run.stop(Outcome::Cancelled, None);
    let report = report_of(&run, None);
    assert_eq!((report.outcome(), report.started_at_us), (Outcome::Cancelled, 0));
    assert!(!file.exists());
}

#[test]
fn what_this_worker_cannot_do_is_refused_with_a_reason() {
    let nowhere = WorkingDirectory { worktree: "/no/such".into(), path: "dir".into() };
    let newer = TaskSpec { work: None, audit: AuditMode::Off.into(), ..TaskSpec::shell("t", "true") };
    let isolated = TaskSpec { isolation: IsolationMode::Worktree.into(), ..TaskSpec::shell("t", "true") };
    for (spec, said) in [
        (TaskSpec { directory: Some(nowhere), ..TaskSpec::shell("t", "true") }, "directory '/no/such/dir'"),
        (TaskSpec::command("t", ["no-such-program"]), "program 'no-such-program' is not on the PATH"),
        (TaskSpec::command("t", [] as [&str; 0]), "does not know this kind of command"),
        (TaskSpec::handler("t", "other", "{}"), "no handler other"),
        (newer, "does not run tasks of this kind"),
        (isolated, "makes no worktrees"),
    ] {
        let report = report_of(&run_of(spec), None);
        assert_eq!((report.outcome(), report.started_at_us), (Outcome::NotStarted, 0), "{said}");
        assert!(report.error.contains(said), "{}", report.error);
    }
    let run = command("true");
    run.run(false, None, &|| {});
    assert!(run.report().error.contains("does not run tasks of this kind"), "a worker without commands");
}

#[test]
fn a_handler_has_its_payload_and_tells_its_progress() {
    let run = run_of(TaskSpec::handler("t", "h", r#"{"n": 1}"#));
    let handler: Handler = Box::new(|task| {
        task.progress(150.0, &"x".repeat(300));
        Ok(Payload::json(task.payload().data.to_ascii_uppercase()))
    });
    let report = report_of(&run, Some(&handler));
    assert_eq!((report.outcome(), report.result.unwrap().data), (Outcome::Succeeded, br#"{"N": 1}"#.to_vec()));
    let progress = run.take_progress().unwrap();
    assert_eq!((progress.percent, progress.message.len()), (100.0, 256));
    assert!(run.take_progress().is_none());
}

#[test]
fn a_handler_fails_with_its_error_or_its_panic() {
    let fails: Handler = Box::new(|_| Err("broken\npipe".into()));
    let panics: Handler = Box::new(|task| panic!("out of {}", task.payload().content_type));
    for (handler, said) in [(fails, "broken pipe"), (panics, "the handler panicked: out of application/json")] {
        let report = report_of(&run_of(TaskSpec::handler("t", "h", "")), Some(&handler));
        assert_eq!((report.outcome(), report.error.as_str()), (Outcome::Failed, said));
    }
}

#[test]
fn a_handler_that_is_cancelled_wakes_up_and_has_not_succeeded() {
    let run = run_of(TaskSpec::handler("t", "h", ""));
    let handler: Handler = Box::new(|task| {
        task.run.stop(Outcome::Cancelled, None);
        assert!(!task.sleep(Duration::from_secs(1000)) && task.is_cancelled());
        Ok(Payload::default())
    });
    assert_eq!(report_of(&run, Some(&handler)).outcome(), Outcome::Cancelled);
}

#[test]
fn a_handlers_time_runs_out_by_the_workers_clock() {
    let run = run_of(TaskSpec { timeout_ms: 60_000, ..TaskSpec::handler("t", "h", "") });
    let handler: Handler = Box::new(|task| {
        task.run.tick(boot_time());
        assert!(!task.is_cancelled());
        task.run.tick(boot_time() + Duration::from_secs(61));
        assert!(task.is_cancelled());
        Err("stopped".into())
    });
    assert_eq!(report_of(&run, Some(&handler)).outcome(), Outcome::TimedOut);
}

#[test]
fn a_line_is_cut_between_letters() {
    assert_eq!(one_line("a\tb\u{1b}[0m\nc", 100), "a b [0m c");
    assert_eq!(one_line("ééé", 5), "éé");
}
