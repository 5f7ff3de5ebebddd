//! The client under test of tests/conformance: a JSON object a line on standard input, an answer a line on standard
//! output.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use buildrunner_parallel::v1::change::Entity;
use buildrunner_parallel::v1::{
    PathLock, PathRequest, RetryPolicy, SessionStatus, TaskSpec, TaskStatus, WatchResponse,
};
use buildrunner_parallel::{Client, Error, ErrorKind, Result, SessionOptions, Wait, WatchOptions};
use serde_json::{json, Value};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{timeout, timeout_at, Instant};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let mut driver = Driver::default();
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut out = tokio::io::stdout();
    while let Some(line) = lines.next_line().await? {
        let answer = match serde_json::from_str::<Value>(&line) {
            Ok(asked) => match driver.answer(&asked).await {
                Ok(ok) => json!({"id": asked["id"], "ok": ok}),
                Err(error) => json!({"id": asked["id"], "error": told(&error)}),
            },
            Err(error) => json!({"id": null, "error": told(&Error::new(ErrorKind::Invalid, error.to_string()))}),
        };
        out.write_all(format!("{answer}\n").as_bytes()).await?;
        out.flush().await?;
    }
    Ok(())
}

fn told(error: &Error) -> Value {
    let mut told = json!({"kind": error.kind().as_str(), "reason": error.reason(), "message": error.to_string()});
    if error.kind() == ErrorKind::Conflict {
        let clashes = error.conflicts().iter().map(|clash| {
            let holder = clash.holder.clone().unwrap_or_default();
            json!({
                "path": clash.asked_path,
                "held_path": clash.held_path,
                "session_id": holder.session_id,
                "session_name": holder.session_name,
            })
        });
        told["conflicts"] = clashes.collect();
    }
    told
}

// ------------------------------------------------------------------- what is asked

fn wrong(what: &str) -> Error {
    Error::new(ErrorKind::Invalid, format!("{what} is missing, or not what it should be"))
}

fn text<'a>(asked: &'a Value, name: &str) -> Result<&'a str> {
    asked[name].as_str().ok_or_else(|| wrong(name))
}

fn number(asked: &Value, name: &str) -> Result<i64> {
    asked[name].as_i64().ok_or_else(|| wrong(name))
}

fn list<'a>(asked: &'a Value, name: &str) -> &'a [Value] {
    asked[name].as_array().map_or(&[], Vec::as_slice)
}

fn texts(asked: &Value, name: &str) -> Vec<String> {
    list(asked, name).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn time(asked: &Value, name: &str) -> Result<Duration> {
    let seconds = asked[name].as_f64().ok_or_else(|| wrong(name))?;
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong(name))
}

fn milliseconds(asked: &Value, name: &str) -> Result<Option<i64>> {
    if asked[name].is_null() {
        return Ok(None);
    }
    Ok(Some(time(asked, name)?.as_millis() as i64))
}

fn path(path: &str, shared: &Value) -> PathRequest {
    if shared.as_bool().unwrap_or(false) {
        PathRequest::shared(path)
    } else {
        PathRequest::exclusive(path)
    }
}

fn paths(asked: &Value) -> Vec<PathRequest> {
    texts(asked, "paths").iter().map(|one| path(one, &asked["shared"])).collect()
}

fn task(given: &Value) -> Result<TaskSpec> {
    let id = text(given, "task_id")?;
    let mut spec = if !given["argv"].is_null() {
        TaskSpec::command(id, texts(given, "argv"))
    } else if !given["run"].is_null() {
        TaskSpec::shell(id, text(given, "run")?)
    } else {
        TaskSpec::handler(id, text(given, "handler")?, given["payload"].as_str().unwrap_or_default())
    };
    spec.needs = texts(given, "needs");
    spec.labels = texts(given, "labels");
    for file in list(given, "files") {
        spec.files.push(path(text(file, "path")?, &file["shared"]));
    }
    spec.timeout_ms = milliseconds(given, "timeout_s")?.unwrap_or(0);
    spec.grace_ms = milliseconds(given, "grace_s")?;
    let max_retries = given["retries"].as_i64().unwrap_or(0) as i32;
    spec.retry = Some(RetryPolicy { max_retries, ..Default::default() });
    spec.priority = given["priority"].as_i64().unwrap_or(0) as i32;
    Ok(spec)
}

// ---------------------------------------------------------------- what is answered

/// "SESSION_STATUS_RUNNING" is told as "running".
fn session_word(status: SessionStatus) -> String {
    status.as_str_name().trim_start_matches("SESSION_STATUS_").to_lowercase()
}

fn task_word(status: TaskStatus) -> String {
    status.as_str_name().trim_start_matches("TASK_STATUS_").to_lowercase()
}

fn names(locks: &[PathLock]) -> Value {
    locks.iter().map(|lock| lock.path.as_str()).collect()
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a watch in the background has seen.
#[derive(Default)]
struct Seen {
    revision: i64,
    resets: u32,
    compactions: u32,
    reconnects: u32,
    known: HashMap<String, String>,
    changes: Vec<Value>,
    failure: Option<Error>,
}

impl Seen {
    fn take(&mut self, message: &WatchResponse) {
        if message.reset {
            self.resets += 1;
            self.known.clear();
        }
        self.compactions += u32::from(message.compacted);
        for change in &message.changes {
            if let Some(Entity::Task(task)) = &change.entity {
                let status = task_word(task.status());
                self.known.insert(task.task_id.clone(), status.clone());
                if !message.snapshot {
                    self.changes.push(json!([task.revision, task.task_id, status]));
                }
            }
        }
    }
}

struct Following {
    seen: Arc<Mutex<Seen>>,
    news: Arc<Notify>,
    reader: JoinHandle<()>,
}

impl Following {
    fn begin(client: &Client, options: WatchOptions) -> Self {
        let (seen, news) = (Arc::new(Mutex::new(Seen::default())), Arc::new(Notify::new()));
        let mut watch = client.watch(options);
        let (into, tell) = (Arc::clone(&seen), Arc::clone(&news));
        let reader = tokio::spawn(async move {
            loop {
                let next = watch.next().await;
                let mut seen = into.lock().unwrap();
                seen.revision = watch.revision();
                seen.reconnects = watch.reconnects();
                match &next {
                    Ok(message) => seen.take(message),
                    Err(error) => seen.failure = Some(error.clone()),
                }
                tell.notify_one();
                if next.is_err() {
                    return;
                }
            }
        });
        Self { seen, news, reader }
    }

    async fn until(&self, asked: &Value) -> Result<Value> {
        let (task_id, status) = (text(asked, "task_id")?, text(asked, "status")?);
        let deadline = Instant::now() + time(asked, "timeout_s")?;
        loop {
            {
                let mut seen = self.seen.lock().unwrap();
                if let Some(error) = &seen.failure {
                    return Err(error.clone());
                }
                let is_whole = seen.revision > 0;
                if is_whole && seen.known.get(task_id).is_some_and(|known| known == status) {
                    let changes = std::mem::take(&mut seen.changes);
                    return Ok(json!({
                        "revision": seen.revision,
                        "resets": seen.resets,
                        "compactions": seen.compactions,
                        "reconnects": seen.reconnects,
                        "changes": changes,
                    }));
                }
            }
            if timeout_at(deadline, self.news.notified()).await.is_err() {
                return Err(Error::new(ErrorKind::Timeout, format!("task {task_id} was not seen {status}")));
            }
        }
    }
}

#[derive(Default)]
struct Driver {
    client: Option<Client>,
    watches: HashMap<i64, Following>,
    last_watch: i64,
}

impl Driver {
    /// Made with the first question, so that what is wrong with it is an answer.
    async fn client(&mut self) -> Result<Client> {
        if self.client.is_none() {
            self.client = Some(Client::connect().await?);
        }
        Ok(self.client.clone().expect("made above"))
    }

    async fn answer(&mut self, asked: &Value) -> Result<Value> {
        let op = text(asked, "op")?;
        let client = self.client().await?;
        let session = asked["session_id"].as_str().unwrap_or_default();
        match op {
            "info" => {
                let info = client.info().await?;
                Ok(json!({
                    "version": info.version,
                    "store_id": info.store_id,
                    "epoch": info.epoch,
                    "capabilities": info.capabilities,
                }))
            }
            "watch" => self.watch(&client, asked),
            "watch_until" => self.following(asked)?.until(asked).await,
            "watch_close" => {
                if let Some(following) = self.watches.remove(&number(asked, "watch")?) {
                    following.reader.abort();
                }
                Ok(json!({}))
            }
            "lock" | "renew" | "unlock" => answer_on_locks(&client, op, session, asked).await,
            "submit" | "get_task" | "cancel_task" | "logs" => answer_on_tasks(&client, op, session, asked).await,
            _ => answer_on_sessions(&client, op, session, asked).await,
        }
    }

    fn watch(&mut self, client: &Client, asked: &Value) -> Result<Value> {
        let options = WatchOptions {
            session_ids: vec![text(asked, "session_id")?.to_owned()],
            ended_tasks: true,
            since_revision: asked["since"].as_i64(),
            store_id: asked["store_id"].as_str().unwrap_or_default().to_owned(),
        };
        self.last_watch += 1;
        self.watches.insert(self.last_watch, Following::begin(client, options));
        Ok(json!({"watch": self.last_watch}))
    }

    fn following(&self, asked: &Value) -> Result<&Following> {
        let found = self.watches.get(&number(asked, "watch")?);
        found.ok_or_else(|| Error::new(ErrorKind::NotFound, "there is no such watch"))
    }
}

async fn answer_on_sessions(client: &Client, op: &str, session: &str, asked: &Value) -> Result<Value> {
    let found = match op {
        "create_session" => {
            let metadata = &asked["metadata"];
            let metadata_json = if metadata.is_null() { String::new() } else { metadata.to_string() };
            let options = SessionOptions { metadata_json, ..Default::default() };
            let session = client.create_session(text(asked, "name")?, options).await?;
            return Ok(json!({"session_id": session.session_id}));
        }
        "wait_session" => {
            let wait = timeout(time(asked, "timeout_s")?, client.wait_session(session)).await;
            let late = |_| Error::new(ErrorKind::Timeout, format!("session {session} is not over yet; it goes on"));
            let ended = wait.map_err(late)??;
            let counts = ended.counts.unwrap_or_default();
            return Ok(json!({
                "status": session_word(ended.status()),
                "succeeded": counts.succeeded,
                "failed": counts.failed,
            }));
        }
        "start_session" => client.start_session(session).await?,
        "pause_session" => client.pause_session(session, false).await?,
        "resume_session" => client.resume_session(session).await?,
        "cancel_session" => client.cancel_session(session, "").await?,
        "close_session" => client.close_session(session).await?,
        _ => return Err(Error::new(ErrorKind::Invalid, format!("there is no op {op}"))),
    };
    Ok(json!({"status": session_word(found.status())}))
}

async fn answer_on_tasks(client: &Client, op: &str, session: &str, asked: &Value) -> Result<Value> {
    if op == "submit" {
        let tasks = list(asked, "tasks").iter().map(task).collect::<Result<Vec<_>>>()?;
        let submitted = match asked["request_id"].as_str() {
            Some(id) => client.submit_once(session, tasks, id).await?,
            None => client.submit(session, tasks).await?,
        };
        let ids: Vec<_> = submitted.into_iter().map(|task| task.task_id).collect();
        return Ok(json!({"task_ids": ids}));
    }
    let id = text(asked, "task_id")?;
    if op == "cancel_task" {
        let cancelled = client.cancel_task(session, id, "").await?;
        return Ok(json!({"status": task_word(cancelled.status())}));
    }
    if op == "logs" {
        let output = client.read_output(session, id).await?;
        return Ok(json!({"stdout": lossy(&output.stdout), "stderr": lossy(&output.stderr)}));
    }
    let task = client.get_task(session, id).await?;
    let summary = task.summary.unwrap_or_default();
    let last = task.attempts.last().cloned().unwrap_or_default();
    Ok(json!({
        "status": task_word(summary.status()),
        "attempts": task.attempts.len(),
        "exit_code": last.exit_code,
        "error": summary.error,
        "result": lossy(&last.result.unwrap_or_default().data),
    }))
}

async fn answer_on_locks(client: &Client, op: &str, session: &str, asked: &Value) -> Result<Value> {
    match op {
        "lock" => {
            let wait = match asked["wait_s"].as_f64().unwrap_or(0.0) {
                seconds if seconds < 0.0 => Wait::Forever,
                0.0 => Wait::No,
                _ => Wait::For(time(asked, "wait_s")?),
            };
            let lease = if asked["lease_s"].is_null() { None } else { Some(time(asked, "lease_s")?) };
            let grant = client.acquire(session, paths(asked), wait, lease).await?;
            Ok(json!({"grant_id": grant.grant_id, "fence": grant.fence, "paths": names(&grant.locks)}))
        }
        "renew" => {
            let lease = client.renew(text(asked, "grant_id")?, number(asked, "fence")?).await?;
            Ok(json!({"lease_s": lease.as_secs_f64()}))
        }
        _ => {
            let given = match asked["grant_id"].as_str().filter(|id| !id.is_empty()) {
                Some(id) => {
                    let fence = asked["fence"].as_i64().unwrap_or(0);
                    client.release_grant(session, id, fence, paths(asked)).await?
                }
                None => client.release(session, paths(asked)).await?,
            };
            Ok(json!({"paths": names(&given)}))
        }
    }
}
