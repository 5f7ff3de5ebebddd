use crate::v1::task_spec::Work;
use crate::v1::{CommandWork, HandlerWork, LockKind, LockMode, PathRequest, Payload, TaskSpec};

/// Tasks and paths; set what else they need on the fields.
impl TaskSpec {
    /// A program with its arguments; no shell comes near them.
    pub fn command<I>(task_id: impl Into<String>, argv: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let argv = argv.into_iter().map(Into::into).collect();
        Self::of(task_id.into(), Work::Command(CommandWork { argv, ..Default::default() }))
    }

    /// A line for `/bin/sh -c`.
    pub fn shell(task_id: impl Into<String>, line: impl Into<String>) -> Self {
        Self::of(task_id.into(), Work::Command(CommandWork { shell_line: line.into(), ..Default::default() }))
    }

    /// A function that workers have under this name, and its JSON.
    pub fn handler(task_id: impl Into<String>, name: impl Into<String>, json: impl Into<Vec<u8>>) -> Self {
        let work = HandlerWork { name: name.into(), payload: Some(Payload::json(json)) };
        Self::of(task_id.into(), Work::Handler(work))
    }

    fn of(task_id: String, work: Work) -> Self {
        Self { task_id, work: Some(work), ..Default::default() }
    }
}

impl PathRequest {
    /// `src/` is a directory with all below it, `res:name` a name, `*.rs` all that matches, anything else a file. Nobody
    /// else may hold what overlaps with it.
    pub fn exclusive(path: impl Into<String>) -> Self {
        Self { path: path.into(), mode: LockMode::Exclusive.into(), kind: LockKind::Auto.into() }
    }

    /// The same, but others may share it.
    pub fn shared(path: impl Into<String>) -> Self {
        Self { mode: LockMode::Shared.into(), ..Self::exclusive(path) }
    }
}

impl Payload {
    /// Bytes that are JSON; they are not looked at.
    pub fn json(data: impl Into<Vec<u8>>) -> Self {
        Self { data: data.into(), content_type: "application/json".into() }
    }
}
