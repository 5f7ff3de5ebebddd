//! What a command finds: where it runs, and its environment.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::v1::{TaskSpec, WorkingDirectory};

pub(crate) type Environment = BTreeMap<OsString, OsString>;

const ALLOWED: [&str; 9] = ["PATH", "HOME", "USER", "SHELL", "LANG", "TZ", "TMPDIR", "VIRTUAL_ENV", "CI"];

fn is_allowed(name: &OsStr) -> bool {
    let bytes = name.as_bytes();
    ALLOWED.iter().any(|allowed| name == *allowed)
        || bytes.starts_with(b"LC_")
        || bytes.starts_with(b"XDG_")
        || bytes.ends_with(b"_PROXY")
        || bytes.ends_with(b"_proxy")
}

/// What is allowed of `own`, what the specification passes and sets, and who the task is. Never the worker's token.
pub(crate) fn task_environment(
    own: impl Iterator<Item = (OsString, OsString)>,
    spec: &TaskSpec,
    identity: impl IntoIterator<Item = (&'static str, OsString)>,
) -> Environment {
    let mut environment: Environment = own.filter(|(name, _)| is_allowed(name)).collect();
    let given = spec.passed_environment.iter().chain(&spec.environment);
    environment.extend(given.map(|(name, value)| (name.into(), value.into())));
    environment.remove(OsStr::new("BR_TOKEN"));
    environment.remove(OsStr::new("BR_TOKEN_FILE"));
    environment.extend(identity.into_iter().map(|(name, value)| (name.into(), value)));
    environment
}

/// Where a task runs; `otherwise` when it does not say.
pub(crate) fn directory_of(directory: Option<&WorkingDirectory>, otherwise: &Path) -> PathBuf {
    let Some(directory) = directory else { return otherwise.to_owned() };
    let root = if directory.worktree.is_empty() { otherwise } else { Path::new(&directory.worktree) };
    // An absolute path stands for itself.
    root.join(&directory.path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(list: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        list.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    #[test]
    fn only_what_is_allowed_passed_set_or_told_is_there() {
        let own = pairs(&[
            ("PATH", "/bin"),
            ("LC_ALL", "C"),
            ("http_proxy", "p"),
            ("SECRET", "s"),
            ("BR_TOKEN", "t"),
            ("HOME", "/root"),
        ]);
        let spec = TaskSpec {
            passed_environment: [("HOME".to_owned(), "/passed".to_owned()), ("A".to_owned(), "passed".to_owned())]
                .into(),
            environment: [
                ("A".to_owned(), "set".to_owned()),
                ("BR_TOKEN".to_owned(), "set".to_owned()),
                ("BR_TASK_ID".to_owned(), "forged".to_owned()),
            ]
            .into(),
            ..Default::default()
        };
        let found = task_environment(own.into_iter(), &spec, [("BR_TASK_ID", "t1".into())]);
        let wanted = pairs(&[
            ("A", "set"),
            ("BR_TASK_ID", "t1"),
            ("HOME", "/passed"),
            ("LC_ALL", "C"),
            ("PATH", "/bin"),
            ("http_proxy", "p"),
        ]);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn a_directory_is_below_its_worktree_unless_it_is_absolute() {
        let of = |worktree: &str, path: &str| {
            let directory = WorkingDirectory { worktree: worktree.into(), path: path.into() };
            directory_of(Some(&directory), Path::new("/own"))
        };
        assert_eq!(of("/tree", "a/b"), Path::new("/tree/a/b"));
        assert_eq!(of("/tree", ""), Path::new("/tree"));
        assert_eq!(of("/tree", "/abs"), Path::new("/abs"));
        assert_eq!(of("", "a"), Path::new("/own/a"));
        assert_eq!(directory_of(None, Path::new("/own")), Path::new("/own"));
    }
}
