use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};

const STATE_DIRECTORY: &str = ".buildrunner";

/// An address (`unix:PATH` or `HOST:PORT`), and the token to present there.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// `unix:/absolute/path` or `HOST:PORT`.
    pub address: String,
    /// Empty: none is presented.
    pub token: String,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Target").field("address", &self.address).finish_non_exhaustive()
    }
}

/// A repository with all its worktrees, or a directory without git.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workspace {
    /// Of the main worktree.
    pub root: PathBuf,
    /// The checkout that the caller is in.
    pub worktree: PathBuf,
    /// Where the local coordinator keeps its state.
    pub state: PathBuf,
}

/// What the environment says; empty values say nothing.
#[derive(Default)]
struct Told {
    coordinator: Option<String>,
    token: Option<String>,
    token_file: Option<String>,
    state_dir: Option<String>,
}

impl Told {
    fn by_environment() -> Self {
        let read = |name| env::var(name).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        Self {
            coordinator: read("BR_COORDINATOR"),
            token: read("BR_TOKEN"),
            token_file: read("BR_TOKEN_FILE"),
            state_dir: read("BR_STATE_DIR"),
        }
    }
}

/// Finds the coordinator as `br parallel` does: BR_COORDINATOR with BR_TOKEN or BR_TOKEN_FILE, else what the state
/// directory says (BR_STATE_DIR, else `.buildrunner` at the root of the current directory's workspace). Reads a few
/// small files; whether anybody answers there is not asked.
///
/// Errors: [`ErrorKind::Invalid`] for text that is no address, [`ErrorKind::Unavailable`] when no coordinator was
/// started here, [`ErrorKind::Unauthenticated`] for a token file that cannot be read.
pub fn locate() -> Result<Target> {
    locate_from(&Told::by_environment(), &current_directory()?)
}

/// The coordinator at this address, with the token that [`locate`] would take for it.
pub fn locate_at(address: &str) -> Result<Target> {
    let told = Told { coordinator: Some(address.trim().to_owned()), ..Told::by_environment() };
    locate_from(&told, &current_directory()?)
}

/// The workspace that a directory belongs to. Never runs git.
pub fn find_workspace(directory: &Path) -> Workspace {
    workspace_of(directory, Told::by_environment().state_dir.as_deref())
}

fn current_directory() -> Result<PathBuf> {
    env::current_dir()
        .map_err(|error| Error::new(ErrorKind::Invalid, format!("the current directory cannot be read: {error}")))
}

fn locate_from(told: &Told, directory: &Path) -> Result<Target> {
    let given = given_token(told)?;
    let workspace = workspace_of(directory, told.state_dir.as_deref());
    if let Some(text) = &told.coordinator {
        let address = normalised(text)?;
        let token = given.unwrap_or_else(|| token_beside(&address, &workspace));
        return Ok(Target { address, token });
    }
    let Some(target) = said_by(&workspace.state) else {
        let text = format!(
            "no coordinator has been started in {}; `br parallel start` or `br parallel serve` does",
            workspace.root.display()
        );
        return Err(Error::new(ErrorKind::Unavailable, text));
    };
    Ok(Target { token: given.unwrap_or(target.token), ..target })
}

fn normalised(text: &str) -> Result<String> {
    if text.starts_with('/') {
        return Ok(format!("unix:{text}"));
    }
    if let Some(path) = text.strip_prefix("unix:") {
        if path.starts_with("//") {
            return Ok(format!("unix:/{}", path.trim_start_matches('/')));
        }
        let path = std::path::absolute(path)
            .map_err(|error| Error::with_reason(ErrorKind::Invalid, "INVALID", format!("{text:?}: {error}")))?;
        return Ok(format!("unix:{}", path.display()));
    }
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().unwrap_or(0) > 0;
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && is_port(port) => Ok(text.to_owned()),
        _ => Err(Error::with_reason(
            ErrorKind::Invalid,
            "INVALID",
            format!("'{text}' is no coordinator address; give unix:PATH or HOST:PORT"),
        )),
    }
}

fn given_token(told: &Told) -> Result<Option<String>> {
    if told.token.is_some() {
        return Ok(told.token.clone());
    }
    let Some(file) = &told.token_file else { return Ok(None) };
    match read_line(Path::new(file)) {
        Some(token) if !token.is_empty() => Ok(Some(token)),
        _ => Err(Error::new(
            ErrorKind::Unauthenticated,
            format!("no token can be read from {file}; check the path and its permissions"),
        )),
    }
}

/// The local coordinator's token when `address` is its own; a stranger never gets one.
fn token_beside(address: &str, workspace: &Workspace) -> String {
    let beside = address.strip_prefix("unix:").and_then(|path| Path::new(path).parent());
    let places = [Some(workspace.state.as_path()), beside];
    let found = places.into_iter().flatten().filter_map(said_by).find(|target| target.address == address);
    found.map_or_else(String::new, |target| target.token)
}

fn said_by(state: &Path) -> Option<Target> {
    let text = fs::read(state.join("coordinator.json")).ok()?;
    let said: serde_json::Value = serde_json::from_slice(&text).ok()?;
    let address = said.get("address")?.as_str().filter(|address| !address.is_empty())?;
    Some(Target { address: address.to_owned(), token: read_line(&state.join("token")).unwrap_or_default() })
}

fn read_line(file: &Path) -> Option<String> {
    Some(fs::read_to_string(file).ok()?.trim().to_owned())
}

fn workspace_of(directory: &Path, state_dir: Option<&str>) -> Workspace {
    let start = fs::canonicalize(directory).unwrap_or_else(|_| directory.to_owned());
    let nearest = |name: &str| start.ancestors().find(|folder| folder.join(name).exists());
    let worktree = nearest(".git").or_else(|| nearest(STATE_DIRECTORY)).unwrap_or(&start).to_owned();
    let root = main_worktree(&worktree);
    let state = match state_dir {
        Some(told) => std::path::absolute(told).unwrap_or_else(|_| told.into()),
        None => root.join(STATE_DIRECTORY),
    };
    Workspace { root, worktree, state }
}

/// The root that all worktrees of the repository share.
fn main_worktree(worktree: &Path) -> PathBuf {
    let git = worktree.join(".git");
    if !git.is_file() {
        return worktree.to_owned();
    }
    let common = linked(&git, "gitdir:").and_then(|directory| linked(&directory.join("commondir"), ""));
    match common {
        // The worktrees of a bare repository share that repository's own directory.
        Some(common) if common.is_dir() && common.file_name().is_some_and(|name| name != ".git") => common,
        Some(common) if common.is_dir() => common.parent().unwrap_or(worktree).to_owned(),
        // A submodule or a separate git directory: its own main worktree.
        _ => worktree.to_owned(),
    }
}

/// The path that `file` names, relative to where `file` is.
fn linked(file: &Path, prefix: &str) -> Option<PathBuf> {
    let text = read_line(file)?;
    let path = file.parent()?.join(text.strip_prefix(prefix)?.trim());
    Some(fs::canonicalize(&path).unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    fn told(coordinator: &str) -> Told {
        Told { coordinator: Some(coordinator.into()), ..Told::default() }
    }

    fn coordinator_in(state: &Path, address: &str, token: &str) {
        fs::create_dir_all(state).unwrap();
        fs::write(state.join("coordinator.json"), format!(r#"{{"address": "{address}", "new": 1}}"#)).unwrap();
        fs::write(state.join("token"), format!("{token}\n")).unwrap();
    }

    #[test]
    fn addresses_are_normalised_or_refused() {
        assert_eq!(normalised("/run/c.sock").unwrap(), "unix:/run/c.sock");
        assert_eq!(normalised("unix:///run/c.sock").unwrap(), "unix:/run/c.sock");
        assert_eq!(normalised("127.0.0.1:7000").unwrap(), "127.0.0.1:7000");
        assert!(normalised("unix:c.sock").unwrap().starts_with("unix:/"));
        for wrong in ["nowhere", ":7000", "host:", "host:0", "host:70000", "host:+5"] {
            assert_eq!(normalised(wrong).unwrap_err().kind(), ErrorKind::Invalid, "{wrong}");
        }
    }

    #[test]
    fn the_workspace_says_where_its_coordinator_is() {
        let folder = Folder::new();
        let deep = folder.path().join("src/deep");
        fs::create_dir_all(&deep).unwrap();
        fs::create_dir(folder.path().join(".git")).unwrap();
        let none = locate_from(&Told::default(), &deep).unwrap_err();
        assert_eq!(none.kind(), ErrorKind::Unavailable);
        assert!(none.to_string().contains("`br parallel start`"), "{none}");
        coordinator_in(&folder.path().join(STATE_DIRECTORY), "unix:/s", "secret");
        let found = locate_from(&Told::default(), &deep).unwrap();
        assert_eq!((found.address.as_str(), found.token.as_str()), ("unix:/s", "secret"));
    }

    #[test]
    fn all_worktrees_share_the_main_ones_coordinator() {
        let folder = Folder::new();
        let main = folder.path().join("main");
        let other = folder.path().join("other");
        let link = main.join(".git/worktrees/other");
        fs::create_dir_all(&link).unwrap();
        fs::create_dir(&other).unwrap();
        fs::write(link.join("commondir"), "../..\n").unwrap();
        fs::write(other.join(".git"), format!("gitdir: {}\n", link.display())).unwrap();
        let found = workspace_of(&other, None);
        assert_eq!(found.root, fs::canonicalize(&main).unwrap());
        assert_eq!(found.worktree, fs::canonicalize(&other).unwrap());
        assert_eq!(found.state, found.root.join(STATE_DIRECTORY));
    }

    #[test]
    fn a_stranger_gets_no_token() {
        let folder = Folder::new();
        coordinator_in(&folder.path().join(STATE_DIRECTORY), "127.0.0.1:7000", "secret");
        assert_eq!(locate_from(&told("127.0.0.1:7000"), folder.path()).unwrap().token, "secret");
        assert_eq!(locate_from(&told("127.0.0.1:7001"), folder.path()).unwrap().token, "");
        let given = Told { token: Some("mine".into()), ..told("127.0.0.1:7001") };
        assert_eq!(locate_from(&given, folder.path()).unwrap().token, "mine");
    }

    #[test]
    fn a_token_is_found_beside_its_socket() {
        let folder = Folder::new();
        let state = folder.path().join("state");
        let address = format!("unix:{}", state.join("coordinator.sock").display());
        coordinator_in(&state, &address, "secret");
        assert_eq!(locate_from(&told(&address), Path::new("/")).unwrap().token, "secret");
    }

    #[test]
    fn a_token_file_that_cannot_be_read_is_an_error() {
        let missing = Told { token_file: Some("/nowhere/token".into()), ..told("unix:/s") };
        let error = locate_from(&missing, Path::new("/")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthenticated);
        assert!(error.to_string().contains("/nowhere/token"));
        let shown = format!("{:?}", Target { address: "unix:/s".into(), token: "secret".into() });
        assert!(!shown.contains("secret"), "{shown}");
    }
}
