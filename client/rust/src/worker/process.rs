//! One command as a process group of its own, which cannot outlive its worker.
//!
//! Between the worker and the command stands a guardian, a process that does nothing but wait: for the command, whose
//! status it hands on, and for the end of a pipe that only the worker holds. When either comes it kills all that the
//! command has left behind, also what made a session of its own (as a child subreaper it inherits those).

use std::ffi::{CString, OsStr};
use std::io;
use std::mem::{size_of, MaybeUninit};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr;

use libc::{c_char, c_int, c_void, pid_t};

use super::environment::Environment;

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

const STARTED: c_int = 1;
const FAILED: c_int = 2;
const ENDED: c_int = 3;

const DIRECTORY: c_int = 1;
const PROGRAM: c_int = 2;
const PROCESS: c_int = 3;

/// What the guardian writes to its pipe, in this order: STARTED or FAILED; then, after STARTED, ENDED.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Message {
    kind: c_int,
    /// Pid, errno, or wait status.
    value: c_int,
    /// Of a failure.
    stage: c_int,
    padding: c_int,
    user_us: i64,
    system_us: i64,
    max_rss_bytes: i64,
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

// ------------------------------------------------------------------- in the worker

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

/// Everything that the guardian needs, made before the fork: behind it only async-signal-safe calls are allowed, since
/// other threads may have held any lock.
struct Strings {
    program: CString,
    directory: CString,
    argv: Pointers,
    environment: Pointers,
}

struct Pointers {
    _owned: Vec<CString>,
    list: Vec<*const c_char>,
}

impl Pointers {
    fn new(owned: Vec<CString>) -> Self {
        let list = owned.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect();
        Self { _owned: owned, list }
    }
}

impl Strings {
    fn new(program: &Path, argv: &[String], environment: &Environment, directory: &Path) -> Result<Self, String> {
        let text = |bytes: &[u8]| {
            CString::new(bytes).map_err(|_| format!("a NUL byte is in {:?}", String::from_utf8_lossy(bytes)))
        };
        let variables = environment.iter().map(|(name, value)| {
            let mut entry = name.as_bytes().to_vec();
            entry.push(b'=');
            entry.extend(value.as_bytes());
            text(&entry)
        });
        Ok(Self {
            program: text(program.as_os_str().as_bytes())?,
            directory: text(directory.as_os_str().as_bytes())?,
            argv: Pointers::new(argv.iter().map(|word| text(word.as_bytes())).collect::<Result<_, _>>()?),
            environment: Pointers::new(variables.collect::<Result<_, _>>()?),
        })
    }
}

struct Descriptors {
    null: c_int,
    out: c_int,
    err: c_int,
    lifeline: c_int,
    status: c_int,
}

fn fork_guardian(plan: &Strings, fds: &Descriptors) -> io::Result<pid_t> {
    // SAFETY: the child makes async-signal-safe calls only, on memory that was made before, and never returns. No signal
    // may be handled by the worker's handlers in the child before it has dropped them.
    unsafe {
        let (mut all, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        let guardian = libc::fork();
        if guardian == 0 {
            guard(plan, fds);
        }
        let cause = io::Error::last_os_error();
        libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut());
        if guardian < 0 {
            Err(cause)
        } else {
            Ok(guardian)
        }
    }
}

fn errno() -> c_int {
    // SAFETY: the calling thread's own.
    unsafe { *libc::__errno_location() }
}

// ------------------------------------------------- behind the fork: async-signal-safe only

unsafe fn report(fd: c_int, message: &Message) {
    let bytes = ptr::from_ref(message).cast::<u8>();
    let mut sent = 0;
    while sent < size_of::<Message>() {
        let wrote = libc::write(fd, bytes.add(sent).cast::<c_void>(), size_of::<Message>() - sent);
        if wrote < 0 && errno() != libc::EINTR {
            return;
        }
        sent += wrote.max(0) as usize;
    }
}

unsafe fn reset_signals() {
    for number in 1..=64 {
        libc::signal(number, libc::SIG_DFL);
    }
    let mut none = MaybeUninit::uninit();
    libc::sigemptyset(none.as_mut_ptr());
    libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut());
}

unsafe fn failed(fd: c_int, stage: c_int) {
    report(fd, &Message { kind: FAILED, value: errno(), stage, ..Message::default() });
}

unsafe fn become_command(plan: &Strings, fds: &Descriptors, failure: c_int) -> ! {
    libc::setpgid(0, 0);
    reset_signals();
    if libc::dup2(fds.null, 0) < 0 || libc::dup2(fds.out, 1) < 0 || libc::dup2(fds.err, 2) < 0 {
        failed(failure, PROCESS);
    } else if libc::chdir(plan.directory.as_ptr()) != 0 {
        failed(failure, DIRECTORY);
    } else {
        libc::execve(plan.program.as_ptr(), plan.argv.list.as_ptr(), plan.environment.list.as_ptr());
        failed(failure, PROGRAM);
    }
    libc::_exit(127)
}

/// Kills every child of this process until there is none; the command's own group first.
unsafe fn kill_the_rest(group: pid_t) {
    libc::kill(-group, libc::SIGKILL);
    loop {
        let fd = libc::open(c"/proc/thread-self/children".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        let mut text = [0u8; 4096];
        let size = if fd < 0 { -1 } else { libc::read(fd, text.as_mut_ptr().cast::<c_void>(), text.len()) };
        if fd >= 0 {
            libc::close(fd);
        }
        // A number that the buffer's end cuts off has no blank behind it, and is not taken for one.
        let mut pid: pid_t = 0;
        let mut at = 0;
        while at < size {
            let byte = *text.as_ptr().offset(at);
            if byte.is_ascii_digit() {
                pid = pid.wrapping_mul(10).wrapping_add(pid_t::from(byte - b'0'));
            } else if pid > 0 {
                libc::kill(pid, libc::SIGKILL);
                pid = 0;
            }
            at += 1;
        }
        if libc::waitpid(-1, ptr::null_mut(), 0) < 0 && errno() == libc::ECHILD {
            return;
        }
    }
}

unsafe fn guard(plan: &Strings, fds: &Descriptors) -> ! {
    close_all_but([fds.null, fds.out, fds.err, fds.lifeline, fds.status]);
    libc::setpgid(0, 0);
    libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    libc::prctl(libc::PR_SET_NAME, c"br-guardian".as_ptr());
    reset_signals();
    libc::signal(libc::SIGPIPE, libc::SIG_IGN);
    let mut failure = [-1; 2];
    if libc::pipe2(failure.as_mut_ptr(), libc::O_CLOEXEC) != 0 {
        failed(fds.status, PROCESS);
        libc::_exit(1);
    }
    let command = libc::fork();
    if command == 0 {
        become_command(plan, fds, failure[1]);
    }
    if command < 0 {
        failed(fds.status, PROCESS);
        libc::_exit(1);
    }
    libc::close(failure[1]);
    libc::close(fds.out);
    libc::close(fds.err);
    let mut message = Message::default();
    let size = size_of::<Message>();
    // Small enough to come in one piece; its end without a word means that the program runs.
    if libc::read(failure[0], ptr::from_mut(&mut message).cast::<c_void>(), size) == size as isize {
        report(fds.status, &message);
        libc::_exit(1);
    }
    report(fds.status, &Message { kind: STARTED, value: command, ..Message::default() });
    wait_for_command(command, fds);
    libc::_exit(0)
}

unsafe fn wait_for_command(command: pid_t, fds: &Descriptors) {
    let exited = libc::syscall(libc::SYS_pidfd_open, command, 0) as c_int;
    let mut watched = [
        libc::pollfd { fd: fds.lifeline, events: libc::POLLIN, revents: 0 },
        libc::pollfd { fd: exited, events: libc::POLLIN, revents: 0 },
    ];
    loop {
        // Without pidfds (Linux before 5.3) it looks every 20 ms.
        let (count, pause) = if exited >= 0 { (2, -1) } else { (1, 20) };
        libc::poll(watched.as_mut_ptr(), count, pause);
        if watched.as_ptr().read().revents != 0 {
            // The worker is gone.
            kill_the_rest(command);
            libc::_exit(0);
        }
        // The dead command keeps its pid, and so the group its number, until it has been waited for.
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        let answered = libc::waitid(libc::P_PID, command as libc::id_t, info.as_mut_ptr(), flags) == 0;
        if answered && (*info.as_ptr()).si_pid() != 0 {
            break;
        }
    }
    libc::kill(-command, libc::SIGKILL);
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    libc::wait4(command, &mut status, 0, usage.as_mut_ptr());
    let usage = &*usage.as_ptr();
    kill_the_rest(command);
    let microseconds = |time: libc::timeval| time.tv_sec.wrapping_mul(1_000_000).wrapping_add(time.tv_usec);
    report(
        fds.status,
        &Message {
            kind: ENDED,
            value: status,
            user_us: microseconds(usage.ru_utime),
            system_us: microseconds(usage.ru_stime),
            max_rss_bytes: usage.ru_maxrss.wrapping_mul(1024),
            ..Message::default()
        },
    );
}

/// The worker's end of a lifeline, this task's or another's, would keep it from ever ending: so everything is closed
/// that is not needed. Linux before 5.9 has no close_range.
unsafe fn close_all_but(kept: [c_int; 5]) {
    let mut from: c_int = 3;
    loop {
        // The lowest one that is kept, from here on.
        let mut next = c_int::MAX;
        for fd in kept {
            if fd >= from && fd < next {
                next = fd;
            }
        }
        if next > from && libc::syscall(libc::SYS_close_range, from, next - 1, 0) != 0 {
            let mut fd = from;
            while fd < next && fd < 65536 {
                libc::close(fd);
                fd += 1;
            }
        }
        if next == c_int::MAX {
            return;
        }
        from = next + 1;
    }
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
