use std::fmt;
use std::time::Duration;

use prost::Message;
use tonic::Code;
use tonic_types::pb;

use crate::v1::LockConflict;

const DOMAIN: &str = "parallel.buildrunner.dev";

/// What went wrong, to decide by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Malformed, or refers to something impossible.
    Invalid,
    /// No such session, task, worker or lock (any more).
    NotFound,
    /// Paths are held by somebody else: see [`Error::conflicts`].
    Conflict,
    /// Not in this state.
    WrongState,
    /// Too large, too many, too fast.
    Limit,
    /// Not, or no more, the holder.
    Stale,
    /// The token is missing or unknown.
    Unauthenticated,
    /// No coordinator answers.
    Unavailable,
    /// This coordinator does not serve the call.
    Unsupported,
    /// A wait of the caller's own ran out.
    Timeout,
    /// A fault of the coordinator's, or one that is not known here.
    Internal,
}

impl ErrorKind {
    /// In lower case, such as `not_found`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::WrongState => "wrong_state",
            Self::Limit => "limit",
            Self::Stale => "stale",
            Self::Unauthenticated => "unauthenticated",
            Self::Unavailable => "unavailable",
            Self::Unsupported => "unsupported",
            Self::Timeout => "timeout",
            Self::Internal => "internal",
        }
    }
}

/// What every call may end with. Decide by [`kind`](Self::kind) or [`reason`](Self::reason); the text is for people: it
/// says what was wrong and what to do next.
#[derive(Clone)]
pub struct Error(Box<Inside>);

#[derive(Clone)]
struct Inside {
    kind: ErrorKind,
    reason: String,
    message: String,
    retry_after: Option<Duration>,
    conflicts: Vec<LockConflict>,
}

/// A result whose error is [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of the caller's own, without a reason.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::with_reason(kind, "", message)
    }

    pub(crate) fn with_reason(kind: ErrorKind, reason: &str, message: impl Into<String>) -> Self {
        Self(Box::new(Inside {
            kind,
            reason: reason.to_owned(),
            message: message.into(),
            retry_after: None,
            conflicts: Vec::new(),
        }))
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// UPPER_SNAKE, such as `SESSION_NOT_FOUND`; empty where the coordinator gave none.
    pub fn reason(&self) -> &str {
        &self.0.reason
    }

    /// How long to wait before trying again makes sense, where the coordinator said so.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Of [`ErrorKind::Conflict`]: one for each clash, with the path that was asked for, the one that is held, by whom,
    /// and since when. With the reason `DEADLOCK` waiting would close a circle.
    pub fn conflicts(&self) -> &[LockConflict] {
        &self.0.conflicts
    }

    /// Nobody answered, or one who is about to stop: the same call may be sent again.
    pub(crate) fn is_passing(&self) -> bool {
        self.0.kind == ErrorKind::Unavailable && self.0.reason != "DRAINING"
    }

    /// The error that a status stands for; `address` is named when nobody answered there.
    pub(crate) fn from_status(status: &tonic::Status, address: &str) -> Self {
        let details = Details::of(status);
        let kind = kind_of_reason(&details.reason).unwrap_or_else(|| kind_of_code(status.code(), &details.reason));
        Self(Box::new(Inside {
            kind,
            message: text_of(status, kind, &details.reason, address),
            reason: details.reason,
            retry_after: details.retry_after,
            conflicts: details.conflicts,
        }))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.message)
    }
}

/// Fit to be read by people too, since `fn main() -> Result<()>` shows this.
impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self} ({}", self.kind().as_str())?;
        if !self.reason().is_empty() {
            write!(formatter, ", {}", self.reason())?;
        }
        formatter.write_str(")")
    }
}

impl std::error::Error for Error {}

fn kind_of_reason(reason: &str) -> Option<ErrorKind> {
    Some(match reason {
        "SESSION_NOT_FOUND"
        | "TASK_NOT_FOUND"
        | "WORKER_NOT_FOUND"
        | "WORKSPACE_NOT_FOUND"
        | "LOCK_NOT_FOUND"
        | "LOCK_NOT_HELD"
        | "AMBIGUOUS_ID"
        | "NO_PATCH" => ErrorKind::NotFound,
        "WRONG_STATE" | "SESSION_CLOSED" => ErrorKind::WrongState,
        "INVALID" | "UNKNOWN_NEED" | "CYCLE" => ErrorKind::Invalid,
        "LIMIT" => ErrorKind::Limit,
        "LOCK_CONFLICT" | "DEADLOCK" => ErrorKind::Conflict,
        "STALE" => ErrorKind::Stale,
        "DRAINING" | "STOPPING" => ErrorKind::Unavailable,
        _ => return None,
    })
}

/// Without a reason it was not the coordinator who answered, but the connection that broke, which gRPC tells in several
/// ways.
fn kind_of_code(code: Code, reason: &str) -> ErrorKind {
    match code {
        Code::Unauthenticated | Code::PermissionDenied => ErrorKind::Unauthenticated,
        Code::NotFound => ErrorKind::NotFound,
        Code::FailedPrecondition => ErrorKind::WrongState,
        Code::Aborted => ErrorKind::Stale,
        Code::AlreadyExists | Code::InvalidArgument | Code::OutOfRange => ErrorKind::Invalid,
        Code::ResourceExhausted => ErrorKind::Limit,
        Code::Unimplemented => ErrorKind::Unsupported,
        Code::Unavailable | Code::DeadlineExceeded => ErrorKind::Unavailable,
        Code::Unknown | Code::Cancelled | Code::Internal if reason.is_empty() => ErrorKind::Unavailable,
        _ => ErrorKind::Internal,
    }
}

fn text_of(status: &tonic::Status, kind: ErrorKind, reason: &str, address: &str) -> String {
    if !reason.is_empty() || kind != ErrorKind::Unavailable {
        return status.message().to_owned();
    }
    if status.code() == Code::DeadlineExceeded {
        return format!(
            "the coordinator at {address} did not answer in time; see whether its machine is overloaded, then try again"
        );
    }
    let mut cause: &dyn std::error::Error = status;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let said = if std::ptr::addr_eq(cause, status) { status.message().to_owned() } else { cause.to_string() };
    format!("the coordinator at {address} cannot be reached ({said}); see whether it runs, then try again")
}

#[derive(Default)]
struct Details {
    reason: String,
    retry_after: Option<Duration>,
    conflicts: Vec<LockConflict>,
}

impl Details {
    fn of(status: &tonic::Status) -> Self {
        let mut found = Self::default();
        let Ok(packed) = pb::Status::decode(status.details()) else { return found };
        for any in packed.details {
            match any.type_url.rsplit('/').next().unwrap_or_default() {
                "google.rpc.ErrorInfo" => {
                    if let Ok(info) = pb::ErrorInfo::decode(any.value.as_slice()) {
                        if info.domain.is_empty() || info.domain == DOMAIN {
                            found.reason = info.reason;
                        }
                    }
                }
                "google.rpc.RetryInfo" => {
                    let delay = pb::RetryInfo::decode(any.value.as_slice()).ok().and_then(|info| info.retry_delay);
                    found.retry_after = delay.and_then(|delay| Duration::try_from(delay).ok());
                }
                "buildrunner_parallel.v1.LockConflict" => {
                    found.conflicts.extend(LockConflict::decode(any.value.as_slice()));
                }
                _ => {}
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::LockHolder;

    fn status(code: Code, reason: &str, more: &[(&str, Vec<u8>)]) -> tonic::Status {
        let info = pb::ErrorInfo { reason: reason.into(), domain: DOMAIN.into(), ..Default::default() };
        let mut details = vec![prost_types::Any {
            type_url: "type.googleapis.com/google.rpc.ErrorInfo".into(),
            value: info.encode_to_vec(),
        }];
        for (name, value) in more {
            details.push(prost_types::Any { type_url: format!("type.googleapis.com/{name}"), value: value.clone() });
        }
        let packed = pb::Status { code: code as i32, message: "said".into(), details };
        tonic::Status::with_details(code, "said", packed.encode_to_vec().into())
    }

    #[test]
    fn the_reason_decides_before_the_code() {
        for (code, reason, kind) in [
            (Code::NotFound, "TASK_NOT_FOUND", ErrorKind::NotFound),
            (Code::FailedPrecondition, "SESSION_CLOSED", ErrorKind::WrongState),
            (Code::Aborted, "STALE", ErrorKind::Stale),
            (Code::Aborted, "DEADLOCK", ErrorKind::Conflict),
            (Code::AlreadyExists, "TASK_EXISTS", ErrorKind::Invalid),
            (Code::Internal, "INTERNAL", ErrorKind::Internal),
            (Code::Unimplemented, "UNSUPPORTED", ErrorKind::Unsupported),
            (Code::ResourceExhausted, "A_NEW_ONE", ErrorKind::Limit),
        ] {
            let error = Error::from_status(&status(code, reason, &[]), "unix:/s");
            assert_eq!((error.kind(), error.reason(), error.to_string().as_str()), (kind, reason, "said"));
            assert!(!error.is_passing(), "{reason}");
        }
    }

    #[test]
    fn a_main_that_returns_it_shows_one_line() {
        let error = Error::with_reason(ErrorKind::NotFound, "TASK_NOT_FOUND", "there is no task x");
        assert_eq!(format!("{error:?}"), "there is no task x (not_found, TASK_NOT_FOUND)");
        assert_eq!(format!("{:?}", Error::new(ErrorKind::Timeout, "too long")), "too long (timeout)");
    }

    #[test]
    fn a_conflict_has_every_clash() {
        let clash = |path: &str| LockConflict {
            asked_path: path.into(),
            holder: Some(LockHolder { session_name: "Docs".into(), ..Default::default() }),
            ..Default::default()
        };
        let name = "buildrunner_parallel.v1.LockConflict";
        let more = [(name, clash("a").encode_to_vec()), (name, clash("b").encode_to_vec())];
        let error = Error::from_status(&status(Code::Aborted, "LOCK_CONFLICT", &more), "");
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert_eq!(error.conflicts(), [clash("a"), clash("b")]);
    }

    #[test]
    fn the_time_to_wait_is_read() {
        let delay = prost_types::Duration { seconds: 5, nanos: 500_000_000 };
        let retry = pb::RetryInfo { retry_delay: Some(delay) }.encode_to_vec();
        let error = Error::from_status(&status(Code::Unavailable, "DRAINING", &[("google.rpc.RetryInfo", retry)]), "");
        assert_eq!(error.retry_after(), Some(Duration::from_millis(5500)));
        assert!(!error.is_passing(), "one that drains takes nothing, however often it is asked");
    }

    #[test]
    fn a_broken_connection_passes_however_it_is_told() {
        for code in [Code::Unavailable, Code::Unknown, Code::Cancelled, Code::Internal] {
            let error = Error::from_status(&tonic::Status::new(code, "broken pipe"), "unix:/s");
            assert!(error.is_passing(), "{code}");
            assert!(error.to_string().contains("unix:/s cannot be reached (broken pipe)"), "{error}");
        }
        let late = Error::from_status(&tonic::Status::deadline_exceeded(""), "unix:/s");
        assert!(late.to_string().contains("did not answer in time"), "{late}");
    }
}
