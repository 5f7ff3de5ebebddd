use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep_until, Instant};

use crate::calls::{random_id, unary, Calls, QUICK};
use crate::error::{Error, ErrorKind, Result};
use crate::v1::lock_service_client::LockServiceClient;
use crate::v1::{AcquireLocksResponse, ReleaseLocksRequest, RenewLeaseRequest};

/// Paths that are held for as long as this lives and the lease can be renewed; from [`Client::hold`](crate::Client::hold).
/// When it is dropped inside a runtime the paths are given back in the background; [`release`](Self::release) tells
/// whether that went well.
#[must_use]
pub struct HeldLocks {
    calls: Arc<Calls>,
    session_id: String,
    grant: AcquireLocksResponse,
    lost: watch::Receiver<Option<Error>>,
    renewer: Option<JoinHandle<()>>,
    released: bool,
}

impl std::fmt::Debug for HeldLocks {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("HeldLocks").field("grant", &self.grant).finish_non_exhaustive()
    }
}

impl HeldLocks {
    pub(crate) fn new(calls: Arc<Calls>, session_id: String, grant: AcquireLocksResponse, since: Instant) -> Self {
        let (tell, lost) = watch::channel(None);
        // What was held already is another grant's to renew and to release.
        let is_own = !grant.already_held && grant.lease_ms > 0;
        let renewer = is_own.then(|| {
            let request = RenewLeaseRequest { grant_id: grant.grant_id.clone(), fence: grant.fence };
            let lease = Duration::from_millis(grant.lease_ms as u64);
            let calls = Arc::clone(&calls);
            tokio::spawn(async move {
                let renew = move |left: Duration| {
                    let calls = Arc::clone(&calls);
                    let request = request.clone();
                    async move {
                        unary!(calls, LockServiceClient, renew_lease, request, left.min(lease / 3), left).map(drop)
                    }
                };
                let error = keep(lease, since, renew).await;
                tell.send_replace(Some(error));
            })
        });
        Self { calls, session_id, released: !is_own, grant, lost, renewer }
    }

    /// The grant's id.
    pub fn grant_id(&self) -> &str {
        &self.grant.grant_id
    }

    /// Hand it to whatever you change, if that can refuse an older one.
    pub fn fence(&self) -> i64 {
        self.grant.fence
    }

    /// Why somebody else may hold the paths now; `None` while they are safe.
    pub fn lost(&self) -> Option<Error> {
        self.lost.borrow().clone()
    }

    /// Waits until the paths are not safe any more; for `tokio::select!` beside the work that they protect.
    pub async fn until_lost(&self) -> Error {
        let mut lost = self.lost.clone();
        loop {
            if let Some(error) = lost.borrow_and_update().clone() {
                return error;
            }
            if lost.changed().await.is_err() {
                // Nobody renews what another grant holds: nothing will be told.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Gives the paths back.
    ///
    /// Errors: the loss, if they were lost before; what the call ends with.
    pub async fn release(mut self) -> Result<()> {
        self.stop();
        if let Some(error) = self.lost() {
            self.released = true;
            return Err(error);
        }
        if std::mem::replace(&mut self.released, true) {
            return Ok(());
        }
        unary!(self.calls, LockServiceClient, release_locks, self.release_request()).map(drop)
    }

    fn stop(&mut self) {
        if let Some(renewer) = self.renewer.take() {
            renewer.abort();
        }
    }

    fn release_request(&self) -> ReleaseLocksRequest {
        ReleaseLocksRequest {
            request_id: random_id(),
            session_id: self.session_id.clone(),
            grant_id: self.grant.grant_id.clone(),
            fence: self.grant.fence,
            ..Default::default()
        }
    }
}

impl Drop for HeldLocks {
    fn drop(&mut self) {
        self.stop();
        if self.released || self.lost().is_some() {
            return;
        }
        // Without a runtime the lease ends by itself.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (calls, request) = (Arc::clone(&self.calls), self.release_request());
            runtime.spawn(async move { unary!(calls, LockServiceClient, release_locks, request, QUICK, QUICK) });
        }
    }
}

/// Renews every third of the lease, which counts from the sending of the last renewal that was answered; returns when it
/// is over. `renew` is told how much of the lease is left.
async fn keep<R, F>(lease: Duration, mut since: Instant, renew: R) -> Error
where
    R: Fn(Duration) -> F,
    F: std::future::Future<Output = Result<()>>,
{
    let mut next = since + lease / 3;
    loop {
        sleep_until(next.min(since + lease)).await;
        let asked_at = Instant::now();
        let left = (since + lease).saturating_duration_since(asked_at);
        if left.is_zero() {
            let text = "the lease of the locks has ended, since no coordinator could be asked to renew it";
            return Error::new(ErrorKind::Stale, text);
        }
        match renew(left).await {
            Ok(()) => {
                since = asked_at;
                next = since + lease / 3;
            }
            Err(error) if error.kind() == ErrorKind::Unavailable => next = Instant::now() + lease / 20,
            Err(error) => return error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    const LEASE: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_renewed_every_third_of_it() {
        let begun = Instant::now();
        let asked = Mutex::new(Vec::new());
        let renew = |_| {
            asked.lock().unwrap().push(begun.elapsed().as_secs());
            let is_last = asked.lock().unwrap().len() == 3;
            async move {
                if is_last {
                    Err(Error::new(ErrorKind::Stale, "taken"))
                } else {
                    Ok(())
                }
            }
        };
        assert_eq!(keep(LEASE, begun, renew).await.to_string(), "taken");
        assert_eq!(*asked.lock().unwrap(), [10, 20, 30]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_loss_is_told_when_the_lease_ends() {
        let begun = Instant::now();
        let renew = |left: Duration| async move {
            tokio::time::sleep(left.min(LEASE / 3)).await;
            Err(Error::new(ErrorKind::Unavailable, "nobody"))
        };
        assert_eq!(keep(LEASE, begun, renew).await.kind(), ErrorKind::Stale);
        let late = begun.elapsed() - LEASE;
        assert!(late < Duration::from_millis(10), "{late:?} after its end");
    }
}
