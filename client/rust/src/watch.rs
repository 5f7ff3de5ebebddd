use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::time::{sleep_until, Instant};
use tonic::codec::Streaming;
use tonic::Status;

use crate::calls::{stub, Backoff, Calls};
use crate::error::{Error, Result};
use crate::v1::event_service_client::EventServiceClient;
use crate::v1::{WatchRequest, WatchResponse};

/// What to watch.
#[derive(Clone, Debug, Default)]
pub struct WatchOptions {
    /// Only what belongs to these; empty: everything, but then tasks only as they change.
    pub session_ids: Vec<String>,
    /// Tasks that are over belong to the snapshot too.
    pub ended_tasks: bool,
    /// Go on behind this revision of the store with `store_id`, both from an earlier watch.
    pub since_revision: Option<i64>,
    /// See `since_revision`.
    pub store_id: String,
}

type Opening = Pin<Box<dyn Future<Output = std::result::Result<Streaming<WatchResponse>, Status>> + Send>>;

enum Stream {
    /// To be opened at this moment.
    Closed(Instant),
    Opening(Opening),
    Open(Box<Streaming<WatchResponse>>),
}

/// Follows what changes; from [`Client::watch`](crate::Client::watch). It reads only when it is asked to, so a slow
/// reader costs no memory: the coordinator closes a stream that is not read, and the watch goes on behind the last
/// message that was handed out.
#[must_use]
pub struct Watch {
    calls: Arc<Calls>,
    position: Position,
    reconnects: u32,
    backoff: Backoff,
    stream: Stream,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Watch").field("position", &self.position).finish_non_exhaustive()
    }
}

impl Watch {
    pub(crate) fn new(calls: Arc<Calls>, options: WatchOptions) -> Self {
        Self {
            calls,
            position: Position::new(options),
            reconnects: 0,
            backoff: Backoff::new(),
            stream: Stream::Closed(Instant::now()),
        }
    }

    /// The next message. After `reset` forget everything seen before; an entity in a change replaces what was known of
    /// it. A stream that breaks is resumed, without an end, with nothing left out; may be dropped before it is done
    /// (as `tokio::time::timeout` does) without losing anything.
    ///
    /// Errors: what will not pass, such as a session that is not there.
    pub async fn next(&mut self) -> Result<WatchResponse> {
        loop {
            let ended = match &mut self.stream {
                Stream::Closed(retry_at) => {
                    sleep_until(*retry_at).await;
                    self.stream = Stream::Opening(self.open());
                    continue;
                }
                Stream::Opening(opening) => match opening.await {
                    Ok(stream) => {
                        self.stream = Stream::Open(Box::new(stream));
                        continue;
                    }
                    Err(status) => Some(status),
                },
                Stream::Open(stream) => match stream.message().await {
                    Ok(Some(message)) => {
                        self.position.took(&message);
                        self.backoff = Backoff::new();
                        return Ok(message);
                    }
                    Ok(None) => None,
                    Err(status) => Some(status),
                },
            };
            self.stream = Stream::Closed(Instant::now() + self.backoff.next());
            self.reconnects += 1;
            if let Some(error) = ended.map(|status| self.calls.error(&status)) {
                if !may_resume(&error) {
                    return Err(error);
                }
            }
        }
    }

    fn open(&self) -> Opening {
        let mut client = stub!(self.calls, EventServiceClient);
        let request = self.calls.request(self.position.request());
        Box::pin(async move { Ok(client.watch(request).await?.into_inner()) })
    }

    /// Behind the last message that was handed out; with [`store_id`](Self::store_id) this is where another watch can go
    /// on. 0 before the end of the first snapshot.
    pub fn revision(&self) -> i64 {
        self.position.revision.unwrap_or(0)
    }

    /// Of the store that the revision belongs to.
    pub fn store_id(&self) -> &str {
        &self.position.options.store_id
    }

    /// How often the stream broke and was taken up again.
    pub fn reconnects(&self) -> u32 {
        self.reconnects
    }
}

/// The coordinator went away, or this stream was read too slowly.
fn may_resume(error: &Error) -> bool {
    error.is_passing() || error.reason() == "WATCHER_TOO_SLOW"
}

/// Where a watch is, and how it asks for what comes next.
#[derive(Debug)]
struct Position {
    options: WatchOptions,
    revision: Option<i64>,
}

impl Position {
    fn new(options: WatchOptions) -> Self {
        Self { revision: options.since_revision, options }
    }

    fn request(&self) -> WatchRequest {
        WatchRequest {
            session_ids: self.options.session_ids.clone(),
            ended_tasks: self.options.ended_tasks,
            since_revision: self.revision,
            store_id: self.revision.map_or_else(String::new, |_| self.options.store_id.clone()),
            ..Default::default()
        }
    }

    fn took(&mut self, message: &WatchResponse) {
        // All but the last message of a snapshot have no revision: one that breaks off is begun anew.
        if message.revision > 0 {
            self.revision = Some(message.revision);
        } else if message.reset {
            self.revision = None;
        }
        if !message.store_id.is_empty() {
            self.options.store_id.clone_from(&message.store_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn message(revision: i64, reset: bool) -> WatchResponse {
        WatchResponse { revision, reset, snapshot: reset, store_id: "st".into(), ..Default::default() }
    }

    #[test]
    fn it_goes_on_behind_the_last_message() {
        let mut position = Position::new(WatchOptions { session_ids: vec!["s".into()], ..Default::default() });
        assert_eq!(position.request().since_revision, None);
        position.took(&message(7, true));
        position.took(&message(9, false));
        let request = position.request();
        assert_eq!((request.since_revision, request.store_id.as_str()), (Some(9), "st"));
        assert_eq!(request.session_ids, ["s"]);
    }

    #[test]
    fn a_snapshot_that_breaks_off_is_begun_anew() {
        let mut position = Position::new(WatchOptions { since_revision: Some(5), ..Default::default() });
        assert_eq!(position.request().since_revision, Some(5));
        position.took(&message(0, true));
        assert_eq!(position.request().since_revision, None);
        position.took(&WatchResponse { revision: 12, snapshot: true, ..Default::default() });
        assert_eq!(position.request().since_revision, Some(12));
    }

    #[test]
    fn only_what_passes_is_resumed() {
        assert!(may_resume(&Error::new(ErrorKind::Unavailable, "")));
        assert!(may_resume(&Error::with_reason(ErrorKind::Limit, "WATCHER_TOO_SLOW", "")));
        assert!(!may_resume(&Error::with_reason(ErrorKind::NotFound, "SESSION_NOT_FOUND", "")));
    }
}
