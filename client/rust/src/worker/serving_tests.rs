use super::*;

fn serving(slots: i32) -> Arc<Serving> {
    let target = Target { address: "unix:/nowhere/c.sock".into(), token: String::new() };
    let options = WorkerOptions { slots, ..WorkerOptions::default() }.handler("waits", |task| {
        while task.sleep(Duration::from_secs(1000)) {}
        Err("stopped".into())
    });
    Arc::new(Serving::new(target, options).unwrap())
}

fn welcome(store_id: &str, epoch: i64) -> Welcome {
    Welcome {
        worker_id: "w1".into(),
        store_id: store_id.into(),
        epoch,
        stop_after_ms: 10_000,
        kill_after_ms: 3_600_000,
        ..Default::default()
    }
}

fn assignment(id: &str, fence: i64, slots: i32) -> Assignment {
    let spec = TaskSpec { slots, ..TaskSpec::handler(id, "waits", "{}") };
    Assignment { attempt_id: id.into(), fence, spec: Some(spec), ..Default::default() }
}

fn cancellation(id: &str, fence: i64, outcome: i32) -> HeartbeatResponse {
    let order = Cancellation { attempt_id: id.into(), fence, outcome, ..Default::default() };
    HeartbeatResponse { cancellations: vec![order], ..Default::default() }
}

/// Waits for the run to end, and says how.
async fn outcome(run: &TaskRun) -> Outcome {
    while !run.is_over() {
        tokio::task::yield_now().await;
    }
    run.report().outcome()
}

#[tokio::test]
async fn hello_says_what_is_held_once_there_is_an_id() {
    let serving = serving(2);
    let hello = serving.hello();
    assert_eq!((hello.worker_id.as_str(), hello.slots, hello.held.len()), ("", 2, 0));
    let kinds = hello.kinds.unwrap();
    assert_eq!((kinds.commands, kinds.external, kinds.handlers), (true, false, vec!["waits".to_owned()]));
    assert!(serving.welcomed(welcome("st", 3), &[], boot_time()));
    serving.take(assignment("a1", 1, 1));
    let hello = serving.hello();
    assert_eq!((hello.worker_id.as_str(), hello.store_id.as_str(), hello.epoch), ("w1", "st", 3));
    assert_eq!(hello.held[0].attempt_id, "a1");
    serving.fail(Error::new(crate::ErrorKind::Internal, "over"));
}

#[tokio::test]
async fn an_older_coordinator_is_not_believed_and_a_newer_one_says_what_is_kept() {
    let serving = serving(2);
    assert!(serving.welcomed(welcome("st", 3), &[], boot_time()));
    serving.take(assignment("kept", 1, 1));
    serving.take(assignment("gone", 2, 1));
    let (kept, gone) = (serving.find("kept").unwrap(), serving.find("gone").unwrap());
    assert!(!serving.welcomed(welcome("st", 2), &[], boot_time()));
    assert_eq!(serving.who().1, 1);
    assert!(serving.welcomed(welcome("st", 4), &["kept".to_owned()], boot_time()));
    assert!(!kept.is_disowned() && gone.is_disowned());
    assert!(serving.welcomed(welcome("other", 1), &["kept".to_owned()], boot_time()), "another store counts anew");
    assert!(kept.is_disowned(), "nothing of one store belongs to another");
}

#[tokio::test]
async fn an_assignment_that_comes_twice_is_taken_once() {
    let serving = serving(2);
    serving.take(assignment("a1", 1, 1));
    serving.take(assignment("a1", 1, 1));
    assert_eq!(serving.lock().used_slots, 1);
    let run = serving.find("a1").unwrap();
    run.disown();
    serving.until(|book| book.runs.is_empty()).await;
    serving.take(assignment("a1", 1, 1));
    assert!(serving.lock().runs.is_empty(), "it has ended here before");
    assert_eq!(serving.lock().used_slots, 0);
}

#[tokio::test]
async fn one_of_several_slots_waits_for_them() {
    let serving = serving(2);
    serving.take(assignment("small", 1, 1));
    serving.take(assignment("wide", 2, 2));
    assert_eq!(serving.lock().used_slots, 1);
    assert_eq!(serving.lock().waiting, 1);
    let wide = serving.find("wide").unwrap();
    assert!(!wide.held().started);
    serving.find("small").unwrap().disown();
    serving.until(|book| book.used_slots == 2 && book.waiting == 0).await;
    wide.disown();
    serving.until(|book| book.used_slots == 0).await;
}

#[tokio::test]
async fn orders_are_for_one_attempt_and_its_fence() {
    let serving = serving(3);
    for (id, fence) in [("a1", 1), ("a2", 2), ("a3", 3)] {
        serving.take(assignment(id, fence, 1));
    }
    let runs = ["a1", "a2", "a3"].map(|id| serving.find(id).unwrap());
    serving.obey(cancellation("a1", 7, Outcome::Cancelled.into()));
    assert!(!runs[0].is_stopping(), "another fence");
    serving.obey(cancellation("a1", 1, Outcome::LockLost.into()));
    assert_eq!(outcome(&runs[0]).await, Outcome::LockLost);
    serving.obey(cancellation("a2", 2, 99));
    assert_eq!(outcome(&runs[1]).await, Outcome::Cancelled, "an outcome that is not known here");
    let reply =
        HeartbeatReply { unknown_attempt_ids: vec!["a3".into(), "never heard of".into()], ..Default::default() };
    serving.obey(HeartbeatResponse { reply: Some(reply), draining: true, ..Default::default() });
    assert!(runs[2].is_disowned() && serving.lock().draining);
}

#[tokio::test]
async fn the_lease_counts_from_the_sending_of_what_was_answered() {
    let serving = serving(1);
    let start = boot_time();
    assert!(serving.welcomed(welcome("st", 1), &[], start));
    serving.take(assignment("a1", 1, 1));
    let run = serving.find("a1").unwrap();
    serving.beaten(start + Duration::from_secs(5), 0);
    serving.tick(start + Duration::from_secs(9));
    assert!(!run.is_stopping());
    serving.beaten(start + Duration::from_secs(5), 1);
    serving.tick(start + Duration::from_secs(14));
    assert!(!run.is_stopping());
    serving.tick(start + Duration::from_secs(15));
    assert_eq!(outcome(&run).await, Outcome::Lost);
}

#[test]
fn heartbeats_are_numbered_anew_with_each_registration() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _inside = runtime.enter();
    let serving = serving(1);
    let sequence = || serving.next_heartbeat().0.heartbeat.unwrap().sequence;
    assert!(serving.welcomed(welcome("st", 1), &[], boot_time()));
    assert_eq!((sequence(), sequence()), (1, 2));
    assert!(serving.welcomed(welcome("st", 2), &[], boot_time()));
    assert_eq!(sequence(), 1);
}

#[test]
fn only_the_latest_ends_are_remembered() {
    let mut ended = Ended::default();
    for fence in 0..=REMEMBERED as i64 {
        ended.add(fence, &format!("a{fence}"));
    }
    assert!(!ended.has("a0") && ended.has("a1") && ended.has(&format!("a{REMEMBERED}")));
}
