//! A worker at work: what it holds, and the tasks and threads that keep it going.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::run::{boot_time, Surroundings, TaskRun};
use super::talk::as_worker;
use super::WorkerOptions;
use crate::calls::{Calls, QUICK};
use crate::discovery::Target;
use crate::error::{Error, Result};
use crate::v1::worker_service_client::WorkerServiceClient;
use crate::v1::*;

const TICK: Duration = Duration::from_millis(50);
/// Cancellations come with the answers to heartbeats, so while something runs they are asked for more often.
const BUSY_INTERVAL: Duration = Duration::from_secs(1);
const CLAIM_WAIT: Duration = Duration::from_secs(1);
/// How often what a task writes is sent while it runs.
const OUTPUT_INTERVAL: Duration = Duration::from_millis(500);
/// One that leaves does not wait longer than this for a coordinator to hear of it.
const LEAVE: Duration = Duration::from_secs(10);
const REMEMBERED: usize = 1_000;

pub(crate) struct Serving {
    pub(crate) options: WorkerOptions,
    pub(crate) calls: Calls,
    pub(crate) registering: tokio::sync::Mutex<()>,
    book: Mutex<Book>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct Book {
    welcome: Welcome,
    registrations: u64,
    /// When the last heartbeat that was answered was sent.
    leased_from: Duration,
    sequence: i64,
    runs: HashMap<String, Arc<TaskRun>>,
    ended: Ended,
    used_slots: i32,
    /// Runs that need more slots than are free.
    waiting: usize,
    slots_taken: BTreeSet<i32>,
    starts: Vec<TaskStarted>,
    draining: bool,
    finished: bool,
    failure: Option<Error>,
}

impl Serving {
    pub(crate) fn new(target: Target, options: WorkerOptions) -> Result<Self> {
        Ok(Self {
            options,
            calls: Calls::new(target)?,
            registering: tokio::sync::Mutex::new(()),
            book: Mutex::default(),
            changed: watch::channel(()).0,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Book)) {
        change(&mut self.lock());
        self.changed.send_replace(());
    }

    async fn until(&self, is_so: impl Fn(&Book) -> bool) {
        let mut changed = self.changed.subscribe();
        while !is_so(&self.lock()) {
            // The sender lives as long as this does.
            let _ = changed.changed().await;
        }
    }

    pub(crate) fn log(&self, line: &str) {
        (self.options.log)(line);
    }

    pub(crate) fn drain(&self) {
        self.change(|book| book.draining = true);
    }

    /// What will not pass ends the worker; run() returns the first of it.
    fn fail(&self, error: Error) {
        self.change(|book| {
            book.failure.get_or_insert(error);
            book.draining = true;
        });
        for run in self.all_runs() {
            run.disown();
        }
    }

    // ------------------------------------------------------------- being known

    /// The worker's id, and how many times it has said hello.
    pub(crate) fn who(&self) -> (String, u64) {
        let book = self.lock();
        (book.welcome.worker_id.clone(), book.registrations)
    }

    pub(crate) fn hello(&self) -> Hello {
        let book = self.lock();
        Hello {
            worker_id: book.welcome.worker_id.clone(),
            host: host_name(),
            pid: std::process::id() as i32,
            version: self.options.version.clone(),
            slots: self.options.slots,
            labels: self.options.labels.clone(),
            kinds: Some(WorkerKinds {
                commands: self.options.commands,
                handlers: self.options.handlers.keys().cloned().collect(),
                external: false,
            }),
            session_id: self.options.session_id.clone().unwrap_or_default(),
            capabilities: capabilities(),
            store_id: book.welcome.store_id.clone(),
            epoch: book.welcome.epoch,
            held: book.runs.values().map(|run| run.held()).collect(),
            ..Default::default()
        }
    }

    /// False for a coordinator that is older than one that was here before.
    pub(crate) fn welcomed(&self, welcome: Welcome, adopted: &[String], sent: Duration) -> bool {
        let (is_new, same_store, older) = {
            let book = self.lock();
            let same = book.welcome.store_id == welcome.store_id;
            (book.registrations == 0, same, same && welcome.epoch < book.welcome.epoch)
        };
        if !is_new && older {
            return false;
        }
        for run in self.all_runs() {
            let is_mine = adopted.contains(&run.assignment().attempt_id);
            // The end of one that is not ours may be on its way: the answer to its report tells.
            if !same_store || (!is_mine && !run.is_over()) {
                run.disown();
            }
        }
        self.change(|book| {
            book.welcome = welcome;
            book.leased_from = sent;
            book.sequence = 0;
            book.registrations += 1;
        });
        true
    }

    // -------------------------------------------------------------- heartbeats

    async fn beat(self: Arc<Self>) {
        loop {
            if let Err(error) = self.beat_once().await {
                return self.fail(error);
            }
            let pause = {
                let book = self.lock();
                let told = Duration::from_millis(book.welcome.heartbeat_interval_ms.max(50) as u64);
                if book.runs.is_empty() {
                    told
                } else {
                    told.min(BUSY_INTERVAL)
                }
            };
            // The first task to come is cause for a heartbeat, since it may have been cancelled already.
            let was_idle = self.lock().runs.is_empty();
            let _ = timeout(pause, self.until(|book| was_idle && !book.runs.is_empty())).await;
        }
    }

    pub(crate) fn next_heartbeat(&self) -> (HeartbeatRequest, Duration, u64) {
        let mut book = self.lock();
        book.sequence += 1;
        let held = book.runs.values().map(|run| run.held()).collect();
        let heartbeat = Heartbeat { sequence: book.sequence, held };
        let request = HeartbeatRequest { worker_id: book.welcome.worker_id.clone(), heartbeat: Some(heartbeat) };
        (request, boot_time(), book.registrations)
    }

    /// The lease counts from the sending of a heartbeat that was answered.
    pub(crate) fn beaten(&self, sent: Duration, seen: u64) {
        let mut book = self.lock();
        if book.registrations == seen {
            book.leased_from = sent;
        }
    }

    pub(crate) fn obey(&self, answer: HeartbeatResponse) {
        if answer.draining {
            self.drain();
        }
        for order in answer.cancellations {
            let Some(run) = self.find(&order.attempt_id) else { continue };
            if run.assignment().fence == order.fence {
                // One that is not known here is still an order to stop.
                let outcome = Outcome::try_from(order.outcome).ok().filter(|&outcome| outcome != Outcome::Unspecified);
                run.stop(outcome.unwrap_or(Outcome::Cancelled), order.grace_ms);
            }
        }
        for id in answer.reply.unwrap_or_default().unknown_attempt_ids {
            // One whose end is on its way is told by the answer to its report.
            if let Some(run) = self.find(&id).filter(|run| !run.is_over()) {
                run.disown();
            }
        }
        self.changed.send_replace(());
    }

    // ------------------------------------------------------------------- clock

    /// Looks at leases and timeouts, in a thread of its own, so that nothing can hold it up.
    fn watch_clock(self: &Arc<Self>) {
        let serving = Arc::clone(self);
        std::thread::spawn(move || {
            while !serving.lock().finished {
                std::thread::sleep(TICK);
                serving.tick(boot_time());
            }
        });
    }

    fn tick(&self, now: Duration) {
        let (age, stop_after, kill_after) = {
            let book = self.lock();
            let of_ms = |ms: i64| if ms > 0 { Duration::from_millis(ms as u64) } else { Duration::MAX };
            let (stop, kill) = (of_ms(book.welcome.stop_after_ms), of_ms(book.welcome.kill_after_ms));
            (now.saturating_sub(book.leased_from), stop, kill)
        };
        for run in self.all_runs() {
            run.tick(now);
            if age >= stop_after {
                run.stop(Outcome::Lost, None);
            }
            if age >= kill_after && !run.is_over() {
                self.kill_for_lease(&run);
            }
        }
    }

    /// Others may be given this task any moment now. A thread cannot be ended, so a handler takes the worker with it.
    fn kill_for_lease(&self, run: &TaskRun) {
        if let Some(name) = run.handler_name() {
            self.log(&format!("no coordinator for too long, and handler {name} does not stop: ending the worker"));
            // SAFETY: ends the process without running anything else.
            unsafe { libc::_exit(70) };
        }
        run.kill();
    }

    // ------------------------------------------------------------------- tasks

    pub(crate) fn news(&self) -> ReportTasksRequest {
        let started = std::mem::take(&mut self.lock().starts);
        let progress = self.all_runs().iter().filter_map(|run| run.take_progress()).collect();
        ReportTasksRequest { started, progress, ..Default::default() }
    }

    async fn claim(self: &Arc<Self>) -> Result<()> {
        self.until(|book| book.draining || (book.waiting == 0 && book.used_slots < self.options.slots)).await;
        let free = {
            let book = self.lock();
            if book.draining {
                return Ok(());
            }
            self.options.slots - book.used_slots
        };
        let wait_ms = CLAIM_WAIT.as_millis() as i64;
        let request = ClaimTasksRequest { max_tasks: free.max(1), wait_ms, ..Default::default() };
        let answer = as_worker!(self, claim_tasks, request, CLAIM_WAIT + QUICK)?;
        if answer.draining {
            self.drain();
        }
        for assignment in answer.assignments {
            self.take(assignment);
        }
        Ok(())
    }

    fn take(self: &Arc<Self>, assignment: Assignment) {
        let id = assignment.attempt_id.clone();
        let mut book = self.lock();
        // It may come twice; the second is void.
        if book.runs.contains_key(&id) || book.ended.has(&id) {
            return;
        }
        let or = |bytes: i64, otherwise: i64| if bytes > 0 { bytes } else { otherwise };
        let surroundings = Surroundings {
            worker_id: book.welcome.worker_id.clone(),
            address: self.calls.target().address.clone(),
            slot: (0..).find(|slot| !book.slots_taken.contains(slot)).unwrap_or(0),
            output_head_bytes: or(book.welcome.output_head_bytes, 8 << 20),
            output_tail_bytes: or(book.welcome.output_tail_bytes, 2 << 20),
        };
        let run = match TaskRun::new(assignment, surroundings) {
            Ok(run) => Arc::new(run),
            Err(error) => return self.log(&format!("a task cannot be taken, and will be once more: {error}")),
        };
        book.slots_taken.insert(run.slot());
        book.runs.insert(id, Arc::clone(&run));
        book.waiting += 1;
        drop(book);
        let wanted = run.assignment().spec.as_ref().map_or(1, |spec| spec.slots);
        let slots = wanted.clamp(1, self.options.slots);
        let has_slots = self.enter(&run, slots);
        self.changed.send_replace(());
        tokio::spawn(Arc::clone(self).perform(run, slots, has_slots));
    }

    async fn perform(self: Arc<Self>, run: Arc<TaskRun>, slots: i32, has_slots: bool) {
        // One of several slots waits until there are enough of them; it is held meanwhile.
        let mut changed = self.changed.subscribe();
        while !has_slots && !self.enter(&run, slots) {
            let _ = changed.changed().await;
        }
        let delivered = match self.run_in_thread(&run, slots).await {
            Ok(durable) => self.deliver(&run, durable).await,
            Err(error) => Err(error),
        };
        if let Err(error) = delivered {
            self.fail(error);
        }
        let assignment = run.assignment();
        self.change(|book| {
            book.runs.remove(&assignment.attempt_id);
            book.ended.add(assignment.fence, &assignment.attempt_id);
        });
    }

    /// Takes the slots if they are free; one that is to stop needs none.
    fn enter(&self, run: &TaskRun, slots: i32) -> bool {
        let mut book = self.lock();
        let fits = book.used_slots == 0 || book.used_slots + slots <= self.options.slots || run.is_stopping();
        if fits {
            book.used_slots += slots;
            book.waiting -= 1;
        }
        fits
    }

    /// Runs it to its end, and sends what it writes meanwhile; returns how much of that is durable.
    async fn run_in_thread(self: &Arc<Self>, run: &Arc<TaskRun>, slots: i32) -> Result<i64> {
        let (tell, mut over) = oneshot::channel();
        let (serving, in_thread) = (Arc::clone(self), Arc::clone(run));
        let started = std::thread::Builder::new().name("task".to_owned()).spawn(move || {
            let handler = in_thread.handler_name().and_then(|name| serving.options.handlers.get(name));
            in_thread.run(serving.options.commands, handler, &|| serving.lock().starts.push(in_thread.started()));
            // The slot is free for the next task while the report is still on its way.
            serving.change(|book| {
                book.used_slots -= slots;
                book.slots_taken.remove(&in_thread.slot());
            });
            let _ = tell.send(());
        });
        if let Err(error) = started {
            run.refuse(&format!("no thread can be made: {error}"));
            self.change(|book| {
                book.used_slots -= slots;
                book.slots_taken.remove(&run.slot());
            });
            return Ok(0);
        }
        let mut durable = 0;
        let mut is_wanted = true;
        while timeout(OUTPUT_INTERVAL, &mut over).await.is_err() {
            // Nothing of it is taken before the start is known.
            let is_known = run.started().started_at_us > 0 && self.lock().starts.is_empty();
            if is_wanted && is_known {
                is_wanted = self.write_output(run, &mut durable, false).await?;
            }
        }
        Ok(durable)
    }

    fn find(&self, attempt_id: &str) -> Option<Arc<TaskRun>> {
        self.lock().runs.get(attempt_id).cloned()
    }

    fn all_runs(&self) -> Vec<Arc<TaskRun>> {
        self.lock().runs.values().cloned().collect()
    }

    // --------------------------------------------------------------------- run

    pub(crate) async fn run(self: &Arc<Self>) -> Result<()> {
        tokio::select! {
            known = self.register(0) => known?,
            // A hello that is on its way is waited for: that worker would not be heard of again otherwise.
            () = self.until_leaving() => return Ok(()),
        }
        self.watch_clock();
        let mut helpers = JoinSet::new();
        helpers.spawn(Arc::clone(self).beat());
        helpers.spawn(Arc::clone(self).carry());
        loop {
            tokio::select! {
                biased;
                claimed = self.claim() => if let Err(error) = claimed {
                    self.fail(error);
                },
                // A claim that is on its way is waited for: what it brings would be lost otherwise.
                () = self.until_leaving() => {}
            }
            if self.lock().draining {
                break;
            }
        }
        self.leave().await;
        self.change(|book| book.finished = true);
        helpers.shutdown().await;
        self.lock().failure.take().map_or(Ok(()), Err)
    }

    /// Draining, and a call that is on its way has had time to be answered.
    async fn until_leaving(&self) {
        self.until(|book| book.draining).await;
        sleep(CLAIM_WAIT * 2).await;
    }

    async fn leave(&self) {
        let failed = |error: Error| self.log(&format!("left without a word: {error}"));
        let has_failed = self.lock().failure.is_some();
        if !has_failed {
            // Nobody there to hear it is no reason to stay.
            let told = timeout(LEAVE, self.tell_of_draining()).await;
            let _ = told.map(|told| told.map_err(failed));
        }
        self.until(|book| book.runs.is_empty()).await;
        if self.lock().failure.is_none() {
            let told = timeout(LEAVE, self.say_goodbye()).await;
            let _ = told.map(|told| told.map_err(failed));
        }
    }
}

/// Attempts whose assignment may come once more.
#[derive(Default)]
struct Ended {
    ids: BTreeSet<String>,
    by_fence: BTreeMap<i64, String>,
}

impl Ended {
    fn has(&self, attempt_id: &str) -> bool {
        self.ids.contains(attempt_id)
    }

    /// Fences grow, so the lowest belongs to the attempt that is least likely to be heard of again.
    fn add(&mut self, fence: i64, attempt_id: &str) {
        self.ids.insert(attempt_id.to_owned());
        self.by_fence.insert(fence, attempt_id.to_owned());
        if self.by_fence.len() > REMEMBERED {
            if let Some((_, oldest)) = self.by_fence.pop_first() {
                self.ids.remove(&oldest);
            }
        }
    }
}

fn host_name() -> String {
    let mut name = [0u8; 256];
    // SAFETY: leaves the last byte alone.
    let answered = unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len() - 1) } == 0;
    let end = name.iter().position(|&byte| byte == 0).unwrap_or(0);
    if answered {
        String::from_utf8_lossy(&name[..end]).into_owned()
    } else {
        String::new()
    }
}

/// Whether names in this worker's checkout are told apart by their case.
fn capabilities() -> Vec<String> {
    use std::os::unix::fs::MetadataExt;
    let worktree = std::env::current_dir().map(|directory| crate::discovery::find_workspace(&directory).worktree);
    let place = |name: &str| {
        let found = std::fs::metadata(worktree.as_ref().ok()?.join(name)).ok()?;
        Some((found.dev(), found.ino()))
    };
    match place(".git") {
        Some(git) if place(".GIT") == Some(git) => vec!["ignores-case".to_owned()],
        _ => Vec::new(),
    }
}

#[cfg(test)]
#[path = "serving_tests.rs"]
mod tests;
