use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout, Instant};

use crate::calls::{random_id, stub, unary, Backoff, Calls, PATIENCE, QUICK};
use crate::discovery::{locate, Target};
use crate::error::{Error, ErrorKind, Result};
use crate::held_locks::HeldLocks;
use crate::v1::change::Entity;
use crate::v1::coordinator_service_client::CoordinatorServiceClient;
use crate::v1::lock_service_client::LockServiceClient;
use crate::v1::log_service_client::LogServiceClient;
use crate::v1::session_service_client::SessionServiceClient;
use crate::v1::task_service_client::TaskServiceClient;
use crate::v1::*;
use crate::watch::{Watch, WatchOptions};

const PAGE: i32 = 1000;
/// How long a piece of output may take to come.
const PIECE: Duration = Duration::from_secs(60);

/// What to know of a session beforehand.
#[derive(Clone, Debug, Default)]
pub struct SessionOptions {
    /// A JSON object of your own.
    pub metadata_json: String,
    /// How many tasks will be submitted in all; the last of them closes the session. 0: not known.
    pub declared_tasks: i32,
    /// The most tasks that may run at once; 0: no limit.
    pub max_parallel: i32,
    /// Workers that serve this session alone, started by the machine's keeper.
    pub workers: i32,
}

/// How long to wait for locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Not at all.
    No,
    /// At most so long.
    For(Duration),
    /// Without an end.
    Forever,
}

/// What a task wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// Bytes that fell out of the middle because of the cap.
    pub dropped_bytes: i64,
}

/// A client of the coordinator; cheap to clone.
///
/// Each call has a deadline of 15 s and is sent again for up to 30 s while the coordinator cannot be reached. What
/// changes something carries a request id that stays the same meanwhile, so that it takes effect once.
#[derive(Clone)]
pub struct Client {
    calls: Arc<Calls>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Client").field("target", self.calls.target()).finish()
    }
}

impl Client {
    /// Finds the coordinator as [`locate`] does; the connection is made with the first call.
    pub async fn connect() -> Result<Self> {
        Self::connect_to(locate()?).await
    }

    /// A client of this coordinator.
    pub async fn connect_to(target: Target) -> Result<Self> {
        Ok(Self { calls: Arc::new(Calls::new(target)?) })
    }

    /// Which coordinator this is, and what it can do.
    pub async fn info(&self) -> Result<GetInfoResponse> {
        unary!(self.calls, CoordinatorServiceClient, get_info, GetInfoRequest {})
    }

    /// A session that is not started yet.
    pub async fn create_session(&self, name: &str, options: SessionOptions) -> Result<Session> {
        let request = CreateSessionRequest {
            request_id: random_id(),
            name: name.to_owned(),
            metadata_json: options.metadata_json,
            declared_tasks: options.declared_tasks,
            max_parallel: options.max_parallel,
            wanted_workers: options.workers,
            ..Default::default()
        };
        there(unary!(self.calls, SessionServiceClient, create_session, request)?.session)
    }

    /// Wherever a session id is taken, a prefix that fits one session will do, and `last` for the newest.
    pub async fn get_session(&self, session_id: &str) -> Result<Session> {
        let request = GetSessionRequest { session_id: session_id.to_owned() };
        there(unary!(self.calls, SessionServiceClient, get_session, request)?.session)
    }

    /// All of them, newest first.
    pub async fn list_sessions(&self) -> Result<Vec<Session>> {
        let mut all = Vec::new();
        let mut request = ListSessionsRequest { page_size: PAGE, ..Default::default() };
        loop {
            let page = unary!(self.calls, SessionServiceClient, list_sessions, request.clone())?;
            all.extend(page.sessions);
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                return Ok(all);
            }
        }
    }

    /// Its tasks may run from now on.
    pub async fn start_session(&self, session_id: &str) -> Result<Session> {
        let request =
            StartSessionRequest { request_id: random_id(), session_id: session_id.to_owned(), ..Default::default() };
        there(unary!(self.calls, SessionServiceClient, start_session, request)?.session)
    }

    /// No further task of it starts; with `now` those that run are stopped, and run again later.
    pub async fn pause_session(&self, session_id: &str, now: bool) -> Result<Session> {
        let request = PauseSessionRequest {
            request_id: random_id(),
            session_id: session_id.to_owned(),
            now,
            ..Default::default()
        };
        there(unary!(self.calls, SessionServiceClient, pause_session, request)?.session)
    }

    /// Ends a pause.
    pub async fn resume_session(&self, session_id: &str) -> Result<Session> {
        let request =
            ResumeSessionRequest { request_id: random_id(), session_id: session_id.to_owned(), ..Default::default() };
        there(unary!(self.calls, SessionServiceClient, resume_session, request)?.session)
    }

    /// Stops what runs of it; the reason is kept, for people.
    pub async fn cancel_session(&self, session_id: &str, reason: &str) -> Result<Session> {
        let request = CancelSessionRequest {
            request_id: random_id(),
            session_id: session_id.to_owned(),
            reason: reason.to_owned(),
        };
        there(unary!(self.calls, SessionServiceClient, cancel_session, request)?.session)
    }

    /// No task will be added any more, so that it ends with its last one.
    pub async fn close_session(&self, session_id: &str) -> Result<Session> {
        let request = CloseSessionRequest { request_id: random_id(), session_id: session_id.to_owned() };
        there(unary!(self.calls, SessionServiceClient, close_session, request)?.session)
    }

    /// Waits until it is over, by watching; outlives restarts of the coordinator. For a limit see `tokio::time::timeout`.
    pub async fn wait_session(&self, session_id: &str) -> Result<Session> {
        // The id may be a prefix, or "last", which must not come to mean another one.
        let id = self.get_session(session_id).await?.session_id;
        let mut watch = self.watch(WatchOptions { session_ids: vec![id.clone()], ..Default::default() });
        loop {
            for change in watch.next().await?.changes {
                match change.entity {
                    Some(Entity::Session(session)) if session.session_id == id && is_over(session.status()) => {
                        return Ok(session);
                    }
                    Some(Entity::Removed(removed)) if removed.kind() == EntityKind::Session && removed.id == id => {
                        let text = format!("session {id} was deleted meanwhile");
                        return Err(Error::with_reason(ErrorKind::NotFound, "SESSION_NOT_FOUND", text));
                    }
                    _ => {}
                }
            }
        }
    }

    /// Up to 1,000 tasks, all or none.
    pub async fn submit(&self, session_id: &str, tasks: Vec<TaskSpec>) -> Result<Vec<TaskSummary>> {
        self.submit_once(session_id, tasks, &random_id()).await
    }

    /// The same under a request id of your own: however often and from wherever it is sent, it takes effect once.
    pub async fn submit_once(
        &self,
        session_id: &str,
        tasks: Vec<TaskSpec>,
        request_id: &str,
    ) -> Result<Vec<TaskSummary>> {
        let request = SubmitTasksRequest {
            request_id: request_id.to_owned(),
            session_id: session_id.to_owned(),
            tasks,
            ..Default::default()
        };
        Ok(unary!(self.calls, TaskServiceClient, submit_tasks, request)?.tasks)
    }

    /// A task in full, with its attempts.
    pub async fn get_task(&self, session_id: &str, task_id: &str) -> Result<Task> {
        let request = GetTaskRequest { session_id: session_id.to_owned(), task_id: task_id.to_owned() };
        there(unary!(self.calls, TaskServiceClient, get_task, request)?.task)
    }

    /// All of them, in order of submission.
    pub async fn list_tasks(&self, session_id: &str) -> Result<Vec<TaskSummary>> {
        let mut all = Vec::new();
        let mut request = ListTasksRequest { session_id: session_id.to_owned(), page_size: PAGE, ..Default::default() };
        loop {
            let page = unary!(self.calls, TaskServiceClient, list_tasks, request.clone())?;
            all.extend(page.tasks);
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                return Ok(all);
            }
        }
    }

    /// Stops one task; the reason is kept, for people.
    pub async fn cancel_task(&self, session_id: &str, task_id: &str, reason: &str) -> Result<TaskSummary> {
        let request = CancelTaskRequest {
            request_id: random_id(),
            session_id: session_id.to_owned(),
            task_id: task_id.to_owned(),
            reason: reason.to_owned(),
        };
        there(unary!(self.calls, TaskServiceClient, cancel_task, request)?.task)
    }

    /// Runs what failed again (no ids: all that failed); returns how many tasks that are.
    pub async fn retry_tasks(&self, session_id: &str, task_ids: &[&str]) -> Result<i32> {
        let request = RetryTasksRequest {
            request_id: random_id(),
            session_id: session_id.to_owned(),
            task_ids: task_ids.iter().map(|&id| id.to_owned()).collect(),
        };
        Ok(unary!(self.calls, TaskServiceClient, retry_tasks, request)?.task_count)
    }

    /// What the task's last attempt has written so far.
    pub async fn read_output(&self, session_id: &str, task_id: &str) -> Result<Output> {
        let mut output = Output::default();
        let mut request =
            ReadOutputRequest { session_id: session_id.to_owned(), task_id: task_id.to_owned(), ..Default::default() };
        let (mut backoff, give_up) = (Backoff::new(), Instant::now() + PATIENCE);
        // What is here already is not asked for again after a break.
        while let Err(error) = self.read_more(&mut request, &mut output).await {
            let pause = backoff.next();
            if !error.is_passing() || Instant::now() + pause > give_up {
                return Err(error);
            }
            sleep(pause).await;
        }
        Ok(output)
    }

    async fn read_more(&self, request: &mut ReadOutputRequest, output: &mut Output) -> Result<()> {
        let failed = |status| self.calls.error(&status);
        let late = |_| self.calls.error(&tonic::Status::deadline_exceeded(""));
        let mut client = stub!(self.calls, LogServiceClient);
        let opening = client.read_output(self.calls.request(request.clone()));
        let mut stream = timeout(PIECE, opening).await.map_err(late)?.map_err(failed)?.into_inner();
        while let Some(piece) = timeout(PIECE, stream.message()).await.map_err(late)?.map_err(failed)? {
            let Some(chunk) = piece.chunk else { continue };
            request.attempt = piece.attempt;
            request.offset = chunk.offset + chunk.data.len() as i64;
            output.dropped_bytes += chunk.dropped_bytes;
            match chunk.channel() {
                OutputChannel::Stderr => output.stderr.extend(chunk.data),
                _ => output.stdout.extend(chunk.data),
            }
        }
        Ok(())
    }

    /// Takes all the paths or none. Without a lease the session itself holds them, until they are released or it ends;
    /// with one (1 s to 1 h) the grant ends so long after its last renewal. A wait outlives a restart of the coordinator.
    ///
    /// Errors: [`ErrorKind::Conflict`] with every clash.
    pub async fn acquire(
        &self,
        session_id: &str,
        paths: Vec<PathRequest>,
        wait: Wait,
        lease: Option<Duration>,
    ) -> Result<AcquireLocksResponse> {
        const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
        let (wait_ms, wait) = match wait {
            Wait::No => (0, Duration::ZERO),
            Wait::For(time) => (time.as_millis() as i64, time.min(YEAR)),
            Wait::Forever => (-1, YEAR),
        };
        let request = AcquireLocksRequest {
            request_id: random_id(),
            session_id: session_id.to_owned(),
            paths,
            wait_ms,
            lease_ms: lease.map(|lease| lease.as_millis() as i64),
            ..Default::default()
        };
        // The call stays open while it waits; whoever asks again with the same id finds its place in the queue.
        unary!(self.calls, LockServiceClient, acquire_locks, request, wait + QUICK, wait + PATIENCE)
    }

    /// Extends a grant with a lease, and returns it.
    ///
    /// Errors: [`ErrorKind::Stale`] or [`ErrorKind::NotFound`] when somebody else may hold its paths.
    pub async fn renew(&self, grant_id: &str, fence: i64) -> Result<Duration> {
        let request = RenewLeaseRequest { grant_id: grant_id.to_owned(), fence };
        let answer = unary!(self.calls, LockServiceClient, renew_lease, request)?;
        Ok(Duration::from_millis(answer.lease_ms.max(0) as u64))
    }

    /// Gives back what the session itself holds; no paths: all of it.
    pub async fn release(&self, session_id: &str, paths: Vec<PathRequest>) -> Result<Vec<PathLock>> {
        self.release_request(session_id, String::new(), 0, paths).await
    }

    /// Gives back what a grant holds; no paths: all of it.
    pub async fn release_grant(
        &self,
        session_id: &str,
        grant_id: &str,
        fence: i64,
        paths: Vec<PathRequest>,
    ) -> Result<Vec<PathLock>> {
        self.release_request(session_id, grant_id.to_owned(), fence, paths).await
    }

    async fn release_request(
        &self,
        session_id: &str,
        grant_id: String,
        fence: i64,
        paths: Vec<PathRequest>,
    ) -> Result<Vec<PathLock>> {
        let request =
            ReleaseLocksRequest { request_id: random_id(), session_id: session_id.to_owned(), paths, grant_id, fence };
        Ok(unary!(self.calls, LockServiceClient, release_locks, request)?.released)
    }

    /// Takes the paths with a lease that is renewed until what is returned is dropped or released.
    pub async fn hold(
        &self,
        session_id: &str,
        paths: Vec<PathRequest>,
        wait: Wait,
        lease: Duration,
    ) -> Result<HeldLocks> {
        let asked_at = Instant::now();
        let grant = self.acquire(session_id, paths, wait, Some(lease)).await?;
        // The lease began when the wait was over, at this moment at the earliest.
        let since = asked_at + Duration::from_millis(grant.waited_ms.max(0) as u64);
        Ok(HeldLocks::new(Arc::clone(&self.calls), session_id.to_owned(), grant, since))
    }

    /// Follows what changes.
    pub fn watch(&self, options: WatchOptions) -> Watch {
        Watch::new(Arc::clone(&self.calls), options)
    }
}

fn is_over(status: SessionStatus) -> bool {
    matches!(status, SessionStatus::Completed | SessionStatus::Failed | SessionStatus::Cancelled)
}

/// What a coordinator always sends.
fn there<T>(part: Option<T>) -> Result<T> {
    part.ok_or_else(|| Error::new(ErrorKind::Internal, "the coordinator's answer is empty; it may be a newer one"))
}
