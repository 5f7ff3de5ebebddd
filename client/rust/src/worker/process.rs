//! One command as a process group of its own, which cannot outlive its worker: this is the worker's side of it, and
//! between the two stands a guardian.

use std::ffi::{CString, OsStr};
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr;

use libc::{c_int, c_void, pid_t};

use super::environment::Environment;
use super::guardian::{errno, fork_guardian, Descriptors, Message, Strings, DIRECTORY, PROCESS, PROGRAM, STARTED};

/// How a command ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Exit {
    /// When it ended by itself.
    pub(crate) code: Option<i32>,
    /// When a signal ended it.
    pub(crate) signal: i32,
    pub(crate) user_us: i64,
    pub(crate) system_us: i64,
    pub(crate) max_rss_bytes: i64,
}

pub(crate) struct Process {
    pid: pid_t,
    guardian: pid_t,
    out: OwnedFd,
    err: OwnedFd,
    status: OwnedFd,
    lifeline: Option<OwnedFd>,
    reaped: bool,
}

impl Process {
    /// Starts `argv` in `directory` with exactly this environment, no standard input, and pipes for what it writes. A
    /// program without a slash is looked for on the PATH of that environment. The error's text names what could not be
    /// used.
    pub(crate) fn start(argv: &[String], environment: &Environment, directory: &Path) -> Result<Self, String> {
        let name = argv.first().ok_or("there is no program to run")?;
        let program = find_program(name, environment, directory)?;
        let plan = Strings::new(&program, argv, environment, directory)?;
        let no_process = |error: io::Error| format!("no process can be made: {error}");
        let (out_read, out_write) = pipe().map_err(no_process)?;
        let (err_read, err_write) = pipe().map_err(no_process)?;
        let (life_read, life_write) = pipe().map_err(no_process)?;
        let (status_read, status_write) = pipe().map_err(no_process)?;
        let null = open_null().map_err(no_process)?;
        let fds = Descriptors {
            null: null.as_raw_fd(),
            out: out_write.as_raw_fd(),
            err: err_write.as_raw_fd(),
            lifeline: life_read.as_raw_fd(),
            status: status_write.as_raw_fd(),
        };
        let guardian = fork_guardian(&plan, &fds).map_err(no_process)?;
        drop((out_write, err_write, life_read, status_write, null));
        let first = read_message(&status_read);
        let Some(Message { kind: STARTED, value: pid, .. }) = first else {
            reap(guardian);
            let failure = first.unwrap_or(Message { value: libc::ECHILD, stage: PROCESS, ..Message::default() });
            let what = match failure.stage {
                DIRECTORY => format!("directory '{}' cannot be entered", directory.display()),
                PROGRAM => format!("program '{}' cannot be run", program.display()),
                _ => "no process can be made".to_owned(),
            };
            return Err(format!("{what}: {}", io::Error::from_raw_os_error(failure.value)));
        };
        for end in [&out_read, &err_read] {
            // SAFETY: a descriptor that is ours.
            unsafe { libc::fcntl(end.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
        }
        let lifeline = Some(life_write);
        Ok(Self { pid, guardian, out: out_read, err: err_read, status: status_read, lifeline, reaped: false })
    }

    pub(crate) fn pid(&self) -> pid_t {
        self.pid
    }

    /// Ends of the pipes, to be read without blocking.
    pub(crate) fn outputs(&self) -> [RawFd; 2] {
        [self.out.as_raw_fd(), self.err.as_raw_fd()]
    }

    /// Readable once the command has ended and nothing of it is left.
    pub(crate) fn ended(&self) -> RawFd {
        self.status.as_raw_fd()
    }

    /// To the whole group.
    pub(crate) fn signal(&self, number: c_int) {
        // SAFETY: no memory is involved.
        unsafe { libc::kill(-self.pid, number) };
    }

    /// The command's status; call when `ended` is readable.
    pub(crate) fn wait(&mut self) -> Exit {
        let last = read_message(&self.status);
        reap(self.guardian);
        self.reaped = true;
        let Some(last) = last else {
            // Somebody killed the guardian, and with it the word on the command.
            self.signal(libc::SIGKILL);
            return Exit { signal: libc::SIGKILL, ..Exit::default() };
        };
        Exit {
            code: libc::WIFEXITED(last.value).then(|| libc::WEXITSTATUS(last.value)),
            signal: if libc::WIFSIGNALED(last.value) { libc::WTERMSIG(last.value) } else { 0 },
            user_us: last.user_us,
            system_us: last.system_us,
            max_rss_bytes: last.max_rss_bytes,
        }
    }
}

impl Drop for Process {
    /// Kills what is left of it.
    fn drop(&mut self) {
        self.lifeline = None;
        if !self.reaped {
            reap(self.guardian);
        }
    }
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [-1; 2];
    // SAFETY: `ends` has room for two; what comes back is nobody else's.
    unsafe {
        if libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok((OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])))
    }
}

fn open_null() -> io::Result<OwnedFd> {
    Ok(std::fs::File::open("/dev/null")?.into())
}

fn reap(pid: pid_t) {
    // SAFETY: the status is not asked for.
    while unsafe { libc::waitpid(pid, ptr::null_mut(), 0) } < 0 && errno() == libc::EINTR {}
}

fn read_message(fd: &OwnedFd) -> Option<Message> {
    let mut message = Message::default();
    let bytes = ptr::from_mut(&mut message).cast::<u8>();
    let mut got = 0;
    while got < size_of::<Message>() {
        // SAFETY: within `message`, in which any bytes are allowed.
        let count = unsafe { libc::read(fd.as_raw_fd(), bytes.add(got).cast::<c_void>(), size_of::<Message>() - got) };
        match count {
            1.. => got += count as usize,
            _ if count < 0 && errno() == libc::EINTR => {}
            _ => return None,
        }
    }
    Some(message)
}

/// Where execvp would find it; relative places of the PATH are relative to the command's directory.
fn find_program(name: &str, environment: &Environment, directory: &Path) -> Result<PathBuf, String> {
    if name.contains('/') {
        return Ok(name.into());
    }
    let places = environment.get(OsStr::new("PATH")).filter(|path| !path.is_empty());
    let places = places.map_or(OsStr::new("/usr/local/bin:/usr/bin:/bin"), |path| path.as_os_str());
    for place in std::env::split_paths(places) {
        let candidate = directory.join(place).join(name);
        let Ok(path) = CString::new(candidate.as_os_str().as_bytes()) else { continue };
        // SAFETY: a string with its end.
        if candidate.is_file() && unsafe { libc::access(path.as_ptr(), libc::X_OK) } == 0 {
            return Ok(candidate);
        }
    }
    Err(format!("program '{name}' is not on the PATH"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;
    use std::ffi::OsString;

    fn environment() -> Environment {
        Environment::from([(OsString::from("PATH"), OsString::from("/usr/bin:/bin")), ("A".into(), "1".into())])
    }

    fn shell(line: &str) -> Process {
        let argv = ["sh", "-c", line].map(String::from);
        Process::start(&argv, &environment(), Path::new("/")).unwrap()
    }

    fn wait_until_ended(process: &Process) {
        let mut fd = libc::pollfd { fd: process.ended(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one descriptor.
        unsafe { libc::poll(&mut fd, 1, -1) };
    }

    fn read_all(fd: RawFd) -> String {
        let mut text = Vec::new();
        let mut buffer = [0u8; 4096];
        loop {
            // SAFETY: within the buffer.
            let count = unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) };
            match count {
                1.. => text.extend(&buffer[..count as usize]),
                _ => return String::from_utf8(text).unwrap(),
            }
        }
    }

    /// A zombie that nobody has reaped is gone too.
    fn is_alive(pid: &str) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        !stat.is_empty() && !stat.contains(") Z ")
    }

    #[test]
    fn it_has_this_environment_and_directory_and_its_exit_code_is_told() {
        let mut process = shell("echo $A $B; pwd; cat; echo no >&2; exit 3");
        wait_until_ended(&process);
        let exit = process.wait();
        assert_eq!((exit.code, exit.signal), (Some(3), 0));
        assert!(exit.max_rss_bytes > 0);
        let [out, err] = process.outputs();
        assert_eq!((read_all(out).as_str(), read_all(err).as_str()), ("1\n/\n", "no\n"));
    }

    #[test]
    fn a_signal_reaches_the_group_and_is_told() {
        let mut process = shell("sleep 1000 & wait");
        process.signal(libc::SIGTERM);
        wait_until_ended(&process);
        let exit = process.wait();
        assert_eq!((exit.code, exit.signal), (None, libc::SIGTERM));
    }

    #[test]
    fn what_cannot_be_started_is_named() {
        let start = |program: &str, directory: &str| {
            Process::start(&[program.to_owned()], &environment(), Path::new(directory)).err().unwrap()
        };
        assert_eq!(start("no-such-program", "/"), "program 'no-such-program' is not on the PATH");
        assert!(start("/etc/passwd", "/").starts_with("program '/etc/passwd' cannot be run: Permission denied"));
        assert!(start("true", "/no/such").starts_with("directory '/no/such' cannot be entered: No such file"));
    }

    #[test]
    fn nothing_outlives_it_not_even_in_a_session_of_its_own() {
        let folder = Folder::new();
        let file = folder.path().join("pid");
        let line = format!("setsid sh -c 'echo $$ >{0}.new; mv {0}.new {0}; exec sleep 1000' & wait", file.display());
        let process = shell(&line);
        while !file.exists() {
            std::thread::yield_now();
        }
        let pid = std::fs::read_to_string(&file).unwrap().trim().to_owned();
        assert!(is_alive(&pid));
        drop(process);
        assert!(!is_alive(&pid));
    }

    #[test]
    fn what_it_leaves_behind_ends_with_it() {
        let mut process = shell("sleep 1000 >/dev/null 2>&1 & echo $!");
        wait_until_ended(&process);
        assert_eq!(process.wait().code, Some(0));
        assert!(!is_alive(read_all(process.outputs()[0]).trim()));
    }
}
