//! Client and worker for BuildRunner parallel: many builds, commands and programs side by side over one repository.
//!
//! ```no_run
#![doc = include_str!("../examples/first.rs")]
//! ```
//!
//! [`Client`] has sessions, tasks, output and path locks; [`Watch`] follows what changes; [`Worker`] runs commands and
//! functions of your own. Records are the messages of the protocol, in [`v1`].

#![warn(missing_docs)]

mod calls;
mod client;
mod discovery;
mod error;
mod held_locks;
mod specs;
#[cfg(test)]
mod testing;
mod watch;
mod worker;

/// The messages of the protocol, and plain clients of all its services. Generated from the protos.
#[rustfmt::skip]
#[allow(clippy::all, clippy::pedantic, missing_docs, missing_debug_implementations)]
pub mod v1 {
    include!("gen/buildrunner_parallel.v1.rs");
}

pub use client::{Client, Output, SessionOptions, Wait};
pub use discovery::{find_workspace, locate, locate_at, Target, Workspace};
pub use error::{Error, ErrorKind, Result};
pub use held_locks::HeldLocks;
pub use watch::{Watch, WatchOptions};
pub use worker::{serve, HandlerError, TaskContext, Worker, WorkerOptions};

#[cfg(test)]
mod tests {
    #[test]
    fn the_readmes_first_program_is_the_one_that_is_compiled() {
        let readme = include_str!("../README.md");
        let example = include_str!("../examples/first.rs");
        assert!(readme.contains(&format!("<!-- examples/first.rs -->\n```rust\n{example}```")));
    }
}
