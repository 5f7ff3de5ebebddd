//! The process between a worker and its command, which does nothing but wait: for the command, whose status it hands
//! on, and for the end of a pipe that only the worker holds. When either comes it kills all that the command has left
//! behind, also what made a session of its own (as a child subreaper it inherits those).

use std::ffi::CString;
use std::io;
use std::mem::{size_of, MaybeUninit};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

use libc::{c_char, c_int, c_void, pid_t};

use super::environment::Environment;

pub(super) const STARTED: c_int = 1;
const FAILED: c_int = 2;
const ENDED: c_int = 3;

pub(super) const DIRECTORY: c_int = 1;
pub(super) const PROGRAM: c_int = 2;
pub(super) const PROCESS: c_int = 3;

/// What the guardian writes to its pipe, in this order: STARTED or FAILED; then, after STARTED, ENDED.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct Message {
    pub(super) kind: c_int,
    /// Pid, errno, or wait status.
    pub(super) value: c_int,
    /// Of a failure.
    pub(super) stage: c_int,
    pub(super) padding: c_int,
    pub(super) user_us: i64,
    pub(super) system_us: i64,
    pub(super) max_rss_bytes: i64,
}

/// Everything that the guardian needs, made before the fork: behind it only async-signal-safe calls are allowed, since
/// other threads may have held any lock.
pub(super) struct Strings {
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
    pub(super) fn new(
        program: &Path,
        argv: &[String],
        environment: &Environment,
        directory: &Path,
    ) -> Result<Self, String> {
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

pub(super) struct Descriptors {
    pub(super) null: c_int,
    pub(super) out: c_int,
    pub(super) err: c_int,
    pub(super) lifeline: c_int,
    pub(super) status: c_int,
}

pub(super) fn fork_guardian(plan: &Strings, fds: &Descriptors) -> io::Result<pid_t> {
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

pub(super) fn errno() -> c_int {
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
