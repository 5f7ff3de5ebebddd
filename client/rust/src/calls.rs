//! The channel to a coordinator, and calls on it: token, client id and deadline with each, repeated while nobody answers.

use std::future::Future;
use std::time::Duration;

use tokio::time::{sleep, timeout, Instant};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};

use crate::discovery::Target;
use crate::error::{Error, ErrorKind, Result};

const MESSAGE_BYTES: usize = 4 << 20;
/// A page of a thousand tasks with long errors is more than we would ever send.
pub(crate) const RECEIVE_BYTES: usize = 16 * MESSAGE_BYTES;
pub(crate) const SEND_BYTES: usize = MESSAGE_BYTES;

/// The deadline of a call that does not wait for anything.
pub(crate) const QUICK: Duration = Duration::from_secs(15);
/// For how long a call is repeated while the coordinator cannot be reached.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A random id of 16 hex digits: for request ids and client ids.
pub(crate) fn random_id() -> String {
    format!("{:016x}", fastrand::u64(..))
}

/// 50 ms, doubled with each step up to 2 s, each with jitter of half its length.
pub(crate) struct Backoff(u64);

impl Backoff {
    pub(crate) fn new() -> Self {
        Self(50)
    }

    pub(crate) fn next(&mut self) -> Duration {
        let half = self.0 / 2;
        self.0 = (self.0 * 2).min(2_000);
        Duration::from_millis(half + fastrand::u64(..=half))
    }
}

/// A client of one service on this channel, ready for a call: `stub!(calls, SessionServiceClient)`.
macro_rules! stub {
    ($calls:expr, $client:ident) => {
        $client::new($calls.channel())
            .max_decoding_message_size($crate::calls::RECEIVE_BYTES)
            .max_encoding_message_size($crate::calls::SEND_BYTES)
    };
}
pub(crate) use stub;

/// One unary call that may be repeated: `unary!(calls, SessionServiceClient, get_session, request)`, with
/// `, DEADLINE, PATIENCE` where they are not the usual ones. With a patience of zero it is sent once.
macro_rules! unary {
    ($calls:expr, $client:ident, $method:ident, $request:expr) => {
        unary!($calls, $client, $method, $request, $crate::calls::QUICK, $crate::calls::PATIENCE)
    };
    ($calls:expr, $client:ident, $method:ident, $request:expr, $deadline:expr, $patience:expr) => {{
        let calls = &$calls;
        calls
            .call($request, $deadline, $patience, |request| {
                let mut client = $crate::calls::stub!(calls, $client);
                async move { client.$method(request).await }
            })
            .await
    }};
}
pub(crate) use unary;

pub(crate) struct Calls {
    target: Target,
    channel: Channel,
    authorization: Option<MetadataValue<Ascii>>,
    client_id: MetadataValue<Ascii>,
}

impl Calls {
    /// Connects with the first call. Must be made inside a tokio runtime.
    pub(crate) fn new(target: Target) -> Result<Self> {
        let invalid = |what: &str| Error::with_reason(ErrorKind::Invalid, "INVALID", what.to_owned());
        let uri = match target.address.strip_prefix("unix:") {
            Some(path) => format!("unix://{path}"),
            None => format!("http://{}", target.address),
        };
        let endpoint = Endpoint::from_shared(uri)
            .map_err(|_| {
                invalid(&format!("'{}' is no coordinator address; give unix:PATH or HOST:PORT", target.address))
            })?
            .connect_timeout(Duration::from_secs(5))
            .http2_keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(10))
            .keep_alive_while_idle(true);
        let authorization = match target.token.as_str() {
            "" => None,
            token => {
                let value = format!("Bearer {token}").parse::<MetadataValue<Ascii>>();
                Some(value.map_err(|_| {
                    Error::new(
                        ErrorKind::Unauthenticated,
                        "the token has characters that none has; check where it is from",
                    )
                })?)
            }
        };
        let client_id = random_id().parse().expect("hex digits");
        Ok(Self { channel: endpoint.connect_lazy(), target, authorization, client_id })
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// With what every call carries.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(authorization) = &self.authorization {
            request.metadata_mut().insert("authorization", authorization.clone());
        }
        request.metadata_mut().insert("br-client-id", self.client_id.clone());
        request
    }

    pub(crate) fn error(&self, status: &Status) -> Error {
        Error::from_status(status, &self.target.address)
    }

    /// Sends `message`, each time with this deadline, and again for as long as `patience` while nobody answers.
    pub(crate) async fn call<M, R, F, A>(
        &self,
        message: M,
        deadline: Duration,
        patience: Duration,
        send: F,
    ) -> Result<R>
    where
        M: Clone + prost::Message,
        F: Fn(Request<M>) -> A,
        A: Future<Output = std::result::Result<Response<R>, Status>>,
    {
        // The connection would break over it, which looks like a coordinator that went away.
        let bytes = message.encoded_len();
        if bytes > SEND_BYTES {
            let text = format!("the message has {bytes} bytes, and at most {SEND_BYTES} can be sent; send it in parts");
            return Err(Error::new(ErrorKind::Limit, text));
        }
        let give_up = Instant::now() + patience;
        let mut backoff = Backoff::new();
        loop {
            let mut request = self.request(message.clone());
            request.set_timeout(deadline);
            let status = match timeout(deadline, send(request)).await {
                Ok(Ok(response)) => return Ok(response.into_inner()),
                Ok(Err(status)) => status,
                Err(_) => Status::deadline_exceeded(""),
            };
            let error = self.error(&status);
            let pause = backoff.next();
            let is_late = status.code() == tonic::Code::DeadlineExceeded;
            if is_late || !error.is_passing() || Instant::now() + pause >= give_up {
                return Err(error);
            }
            sleep(pause).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    fn target(token: &str) -> Target {
        Target { address: "unix:/nowhere/c.sock".into(), token: token.into() }
    }

    #[tokio::test]
    async fn every_call_carries_who_and_what() {
        let calls = Calls::new(target("secret")).unwrap();
        let request = calls.request(());
        assert_eq!(request.metadata().get("authorization").unwrap(), "Bearer secret");
        assert_eq!(request.metadata().get("br-client-id").unwrap().len(), 16);
        assert!(Calls::new(target("")).unwrap().request(()).metadata().get("authorization").is_none());
        assert_eq!(Calls::new(target("a\nb")).err().unwrap().kind(), ErrorKind::Unauthenticated);
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_message_is_sent_until_somebody_answers() {
        let calls = Calls::new(target("")).unwrap();
        let sent = Mutex::new(Vec::new());
        let answer = calls.call("id-1".to_owned(), QUICK, PATIENCE, |request| {
            sent.lock().unwrap().push(request.into_inner());
            let tries = sent.lock().unwrap().len();
            async move {
                if tries < 4 {
                    Err(Status::unavailable(""))
                } else {
                    Ok(Response::new(tries))
                }
            }
        });
        assert_eq!(answer.await.unwrap(), 4);
        assert_eq!(*sent.lock().unwrap(), ["id-1"; 4]);
    }

    #[tokio::test(start_paused = true)]
    async fn patience_has_an_end_and_refusals_are_final() {
        let calls = Calls::new(target("")).unwrap();
        let begun = Instant::now();
        let send = |_| async { Err::<Response<()>, _>(Status::unavailable("")) };
        assert_eq!(calls.call((), QUICK, PATIENCE, send).await.unwrap_err().kind(), ErrorKind::Unavailable);
        assert!(begun.elapsed() <= PATIENCE && begun.elapsed() >= PATIENCE / 2, "{:?}", begun.elapsed());

        let tries = Mutex::new(0);
        let send = |_| {
            *tries.lock().unwrap() += 1;
            async { Err::<Response<()>, _>(Status::not_found("")) }
        };
        assert_eq!(calls.call((), QUICK, PATIENCE, send).await.unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(*tries.lock().unwrap(), 1);
    }

    #[tokio::test]
    async fn what_is_too_large_is_not_sent() {
        let calls = Calls::new(target("")).unwrap();
        let send = |_| async { Ok(Response::new(())) };
        let error = calls.call("x".repeat(SEND_BYTES), QUICK, PATIENCE, send).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_not_answered_ends_at_its_deadline() {
        let calls = Calls::new(target("")).unwrap();
        let begun = Instant::now();
        let send = |_| std::future::pending::<std::result::Result<Response<()>, Status>>();
        let error = calls.call((), QUICK, PATIENCE, send).await.unwrap_err();
        assert!(error.to_string().contains("did not answer in time"), "{error}");
        assert_eq!(begun.elapsed(), QUICK);
    }
}
