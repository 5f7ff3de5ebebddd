//! A worker on the unary calls: it asks for tasks, runs commands and handlers, and reports how they ended.

mod environment;
mod guardian;
mod output;
mod process;
mod run;
mod serving;
mod talk;
mod task_folder;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{signal, SignalKind};

use self::run::TaskRun;
use self::serving::Serving;
use crate::discovery::Target;
use crate::error::{Error, ErrorKind, Result};
use crate::v1::task_spec::Work;
use crate::v1::{Assignment, Payload};

/// What a handler returns instead of a result; its text becomes the task's error.
pub type HandlerError = Box<dyn std::error::Error + Send + Sync>;

pub(crate) type Handler = Box<dyn Fn(&TaskContext) -> std::result::Result<Payload, HandlerError> + Send + Sync>;

/// What a handler is told, and can tell.
pub struct TaskContext {
    run: Arc<TaskRun>,
}

impl std::fmt::Debug for TaskContext {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("TaskContext").field("attempt", &self.assignment().attempt_id).finish_non_exhaustive()
    }
}

impl TaskContext {
    /// Session, task, attempt, fence, and the whole specification.
    pub fn assignment(&self) -> &Assignment {
        self.run.assignment()
    }

    /// What the task was submitted with.
    pub fn payload(&self) -> Payload {
        match self.assignment().spec.as_ref().and_then(|spec| spec.work.as_ref()) {
            Some(Work::Handler(work)) => work.payload.clone().unwrap_or_default(),
            _ => Payload::default(),
        }
    }

    /// 0 to 100, and at most 256 bytes; the latest is sent, soon and without waiting for it.
    pub fn progress(&self, percent: f64, message: &str) {
        self.run.set_progress(percent, message);
    }

    /// It was cancelled, its time is up, or the worker has lost its lease: return soon. Such a task has not succeeded,
    /// whatever is returned.
    pub fn is_cancelled(&self) -> bool {
        self.run.is_stopping()
    }

    /// Sleeps; false, and early, when it is cancelled.
    pub fn sleep(&self, time: Duration) -> bool {
        self.run.sleep(time)
    }
}

/// What a worker is.
pub struct WorkerOptions {
    /// Tasks of one slot that run at a time.
    pub slots: i32,
    /// What tasks can ask for.
    pub labels: Vec<String>,
    /// Set: serves this session alone and leaves at its end.
    pub session_id: Option<String>,
    /// Whether it runs commands.
    pub commands: bool,
    /// Told to the coordinator; for people.
    pub version: String,
    /// Takes a line for people about what goes wrong on the way; by default to standard error.
    pub log: Box<dyn Fn(&str) + Send + Sync>,
    handlers: BTreeMap<String, Handler>,
}

impl std::fmt::Debug for WorkerOptions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("WorkerOptions").field("slots", &self.slots).finish_non_exhaustive()
    }
}

impl Default for WorkerOptions {
    /// One slot, for commands of every session.
    fn default() -> Self {
        Self {
            slots: 1,
            labels: Vec::new(),
            session_id: None,
            commands: true,
            version: concat!("rust ", env!("CARGO_PKG_VERSION")).to_owned(),
            log: Box::new(|line| eprintln!("worker: {line}")),
            handlers: BTreeMap::new(),
        }
    }
}

impl WorkerOptions {
    /// Adds a function that tasks can ask for by name. It runs in a thread of its own, which cannot be stopped from
    /// outside: it should look at [`TaskContext::is_cancelled`]. One that goes on beyond the worker's lease ends the
    /// whole process.
    #[must_use]
    pub fn handler<F>(mut self, name: impl Into<String>, handler: F) -> Self
    where
        F: Fn(&TaskContext) -> std::result::Result<Payload, HandlerError> + Send + Sync + 'static,
    {
        self.handlers.insert(name.into(), Box::new(handler));
        self
    }
}

/// A worker. Commands run as process groups of their own that die with it, however it dies. What a task writes is sent
/// while it runs. Not offered: audits of what a task changes, worktrees of its own.
#[derive(Clone)]
pub struct Worker {
    serving: Arc<Serving>,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Worker").finish_non_exhaustive()
    }
}

impl Worker {
    /// A worker for this coordinator, which it will not know before [`run`](Self::run). Make it inside a runtime that
    /// has threads of its own, so that heartbeats go out on time.
    pub async fn new(target: Target, options: WorkerOptions) -> Result<Self> {
        if options.slots < 1 {
            return Err(Error::with_reason(ErrorKind::Invalid, "INVALID", "a worker needs at least one slot"));
        }
        Ok(Self { serving: Arc::new(Serving::new(target, options)?) })
    }

    /// Serves until it is drained or the coordinator wants it to leave; what runs is finished and reported first.
    /// Coordinators that go away are waited for. Call it once.
    ///
    /// Errors: what will not pass, such as a token that is refused.
    pub async fn run(&self) -> Result<()> {
        Serving::run(&self.serving).await
    }

    /// Takes nothing new; [`run`](Self::run) returns once nothing runs any more.
    pub fn drain(&self) {
        self.serving.drain();
    }
}

/// Runs a worker that drains on SIGTERM and SIGINT.
pub async fn serve(target: Target, options: WorkerOptions) -> Result<()> {
    let worker = Worker::new(target, options).await?;
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut signals = signal(kind)
            .map_err(|error| Error::new(ErrorKind::Internal, format!("signals cannot be listened to: {error}")))?;
        let worker = worker.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                worker.drain();
            }
        });
    }
    worker.run().await
}
