//! One attempt from its assignment to its report. It runs in a thread of its own.

use std::any::Any;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::environment::{directory_of, task_environment};
use super::output::OutputBook;
use super::process::{Exit, Process};
use super::task_folder::TaskFolder;
use super::{Handler, TaskContext};
use crate::v1::task_spec::Work;
use crate::v1::{
    Assignment, HeldAttempt, IsolationMode, Outcome, OutputChannel, Payload, ResourceUsage, TaskProgress, TaskReport,
    TaskSpec, TaskStarted,
};

const DEFAULT_GRACE: Duration = Duration::from_secs(10);
const ERROR_BYTES: usize = 4096;
const MESSAGE_BYTES: usize = 256;
const READ_BYTES: usize = 64 << 10;
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Time since the machine started; goes on while it sleeps, as leases do.
pub(crate) fn boot_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: fills `time`.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn unix_microseconds() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_micros() as i64)
}

fn duration_of_ms(ms: i64) -> Duration {
    Duration::from_millis(ms.max(0) as u64)
}

/// At most `most` bytes, without control characters.
pub(crate) fn one_line(text: &str, most: usize) -> String {
    let mut line = String::new();
    for letter in text.chars() {
        let letter = if letter.is_control() { ' ' } else { letter };
        if line.len() + letter.len_utf8() > most {
            break;
        }
        line.push(letter);
    }
    line
}

/// What a run is told of its worker.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    pub(crate) worker_id: String,
    pub(crate) address: String,
    pub(crate) slot: i32,
    pub(crate) output_head_bytes: i64,
    pub(crate) output_tail_bytes: i64,
}

pub(crate) struct TaskRun {
    assignment: Assignment,
    surroundings: Surroundings,
    state: Mutex<State>,
    changed: Condvar,
    wake: OwnedFd,
}

struct State {
    output: OutputBook,
    report: TaskReport,
    over: bool,
    disowned: bool,
    kill_now: bool,
    stop_as: Option<Outcome>,
    grace: Duration,
    /// SIGTERM was sent.
    asked: bool,
    ends_at: Option<Duration>,
    killed_at: Option<Duration>,
    progress: Option<TaskProgress>,
}

impl TaskRun {
    pub(crate) fn new(assignment: Assignment, surroundings: Surroundings) -> io::Result<Self> {
        // SAFETY: a new descriptor, which is nobody else's.
        let wake = unsafe {
            match libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) {
                fd if fd >= 0 => OwnedFd::from_raw_fd(fd),
                _ => return Err(io::Error::last_os_error()),
            }
        };
        let report = TaskReport {
            attempt_id: assignment.attempt_id.clone(),
            fence: assignment.fence,
            slot: surroundings.slot,
            ..Default::default()
        };
        let state = State {
            output: OutputBook::new(surroundings.output_head_bytes, surroundings.output_tail_bytes),
            report,
            over: false,
            disowned: false,
            kill_now: false,
            stop_as: None,
            grace: DEFAULT_GRACE,
            asked: false,
            ends_at: None,
            killed_at: None,
            progress: None,
        };
        Ok(Self { assignment, surroundings, state: Mutex::new(state), changed: Condvar::new(), wake })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn assignment(&self) -> &Assignment {
        &self.assignment
    }

    pub(crate) fn slot(&self) -> i32 {
        self.surroundings.slot
    }

    fn spec(&self) -> TaskSpec {
        self.assignment.spec.clone().unwrap_or_default()
    }

    pub(crate) fn handler_name(&self) -> Option<&str> {
        match &self.assignment.spec.as_ref()?.work {
            Some(Work::Handler(handler)) => Some(&handler.name),
            _ => None,
        }
    }

    pub(crate) fn held(&self) -> HeldAttempt {
        let state = self.lock();
        HeldAttempt {
            attempt_id: self.assignment.attempt_id.clone(),
            fence: self.assignment.fence,
            started: state.report.started_at_us > 0,
            ended: state.over,
            pid: state.report.pid,
            started_at_us: state.report.started_at_us,
        }
    }

    pub(crate) fn started(&self) -> TaskStarted {
        let state = self.lock();
        TaskStarted {
            attempt_id: self.assignment.attempt_id.clone(),
            fence: self.assignment.fence,
            pid: state.report.pid,
            started_at_us: state.report.started_at_us,
            slot: self.surroundings.slot,
        }
    }

    /// Once it is over; without output.
    pub(crate) fn report(&self) -> TaskReport {
        self.lock().report.clone()
    }

    pub(crate) fn with_output<T>(&self, look: impl FnOnce(&OutputBook) -> T) -> T {
        look(&self.lock().output)
    }

    // ----------------------------------------------------------------- running

    /// Runs it to its end; `on_started` is called once there is a process (or the handler is about to begin).
    pub(crate) fn run(self: &Arc<Self>, commands: bool, handler: Option<&Handler>, on_started: &dyn Fn()) {
        if self.is_stopping() {
            return self.end_with(Outcome::NotStarted);
        }
        let spec = self.spec();
        if spec.isolation() == IsolationMode::Worktree {
            return self.refuse(
                "a worker in Rust makes no worktrees: give the task a label that only workers of `br parallel` carry",
            );
        }
        match (&spec.work, handler) {
            (Some(Work::Command(_)), _) if commands => {
                if let Err(why) = self.run_command(&spec, on_started) {
                    self.refuse(&why);
                }
            }
            (Some(Work::Handler(_)), Some(handler)) => self.run_handler(handler, on_started),
            (Some(Work::Handler(work)), None) => self.refuse(&format!("this worker has no handler {}", work.name)),
            _ => self.refuse("this worker does not run tasks of this kind"),
        }
    }

    /// It is not run at all.
    pub(crate) fn refuse(&self, why: &str) {
        self.lock().report.error = one_line(why, ERROR_BYTES);
        self.end_with(Outcome::NotStarted);
    }

    fn begin(&self, pid: i32) {
        let timeout_ms = self.assignment.spec.as_ref().map_or(0, |spec| spec.timeout_ms);
        let mut state = self.lock();
        state.report.pid = pid;
        state.report.started_at_us = unix_microseconds();
        state.ends_at = (timeout_ms > 0).then(|| boot_time() + duration_of_ms(timeout_ms));
    }

    fn end_with(&self, outcome: Outcome) {
        let mut state = self.lock();
        // What succeeded all the same is reported as succeeded.
        let told = state.stop_as.filter(|_| outcome != Outcome::Succeeded).unwrap_or(outcome);
        state.report.outcome = told.into();
        state.report.ended_at_us = unix_microseconds();
        state.over = true;
    }

    fn run_command(&self, spec: &TaskSpec, on_started: &dyn Fn()) -> Result<(), String> {
        let Some(Work::Command(command)) = &spec.work else { unreachable!("only commands come here") };
        let argv = match command.shell_line.as_str() {
            "" => command.argv.clone(),
            line => vec!["/bin/sh".to_owned(), "-c".to_owned(), line.to_owned()],
        };
        if argv.is_empty() {
            return Err("this worker does not know this kind of command; use a newer one".to_owned());
        }
        let folder =
            TaskFolder::new().map_err(|error| format!("no folder can be made for the task's result: {error}"))?;
        let environment = task_environment(std::env::vars_os(), spec, self.identity(spec, &folder));
        let own = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        let mut process = Process::start(&argv, &environment, &directory_of(spec.directory.as_ref(), &own))?;
        self.begin(process.pid());
        on_started();
        self.follow(&process);
        let exit = process.wait();
        self.note_end(&exit, &folder);
        self.end_with(if exit.code == Some(0) { Outcome::Succeeded } else { Outcome::Failed });
        Ok(())
    }

    fn identity(&self, spec: &TaskSpec, folder: &TaskFolder) -> [(&'static str, OsString); 11] {
        let (assignment, surroundings) = (&self.assignment, &self.surroundings);
        [
            ("BR_SESSION_ID", assignment.session_id.clone().into()),
            ("BR_SESSION_NAME", assignment.session_name.clone().into()),
            ("BR_TASK_ID", spec.task_id.clone().into()),
            ("BR_ATTEMPT", assignment.number.to_string().into()),
            ("BR_ATTEMPT_ID", assignment.attempt_id.clone().into()),
            ("BR_FENCE", assignment.fence.to_string().into()),
            ("BR_WORKER_ID", surroundings.worker_id.clone().into()),
            ("BR_SLOT", surroundings.slot.to_string().into()),
            ("BR_COORDINATOR", surroundings.address.clone().into()),
            ("BR_RESULT_FILE", folder.file("result").into()),
            ("BR_ERROR_FILE", folder.file("error").into()),
        ]
    }

    fn note_end(&self, exit: &Exit, folder: &TaskFolder) {
        let mut state = self.lock();
        state.report.exit_code = exit.code;
        state.report.signal = exit.signal;
        state.report.usage = Some(ResourceUsage {
            user_cpu_us: exit.user_us,
            system_cpu_us: exit.system_us,
            max_rss_bytes: exit.max_rss_bytes,
        });
        state.report.result = folder.read("result").map(|data| Payload { data, content_type: String::new() });
        if let Some(error) = folder.read("error") {
            let text = String::from_utf8_lossy(&error);
            state.report.error = one_line(text.trim().lines().last().unwrap_or_default(), ERROR_BYTES);
        }
        state.report.output_bytes = state.output.total_bytes();
        state.report.output_dropped_bytes = state.output.dropped_bytes();
    }

    /// Reads what the command writes until it has ended and its pipes are empty, and stops it when it is time to.
    fn follow(&self, process: &Process) {
        let [out, err] = process.outputs();
        let mut watched = [out, err, self.wake.as_raw_fd(), process.ended()].map(|fd| libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        });
        let mut buffer = vec![0; READ_BYTES];
        // After its end a pipe that somebody out of reach keeps open is read for a moment only.
        let mut last_words: Option<Duration> = None;
        while watched[0].fd >= 0 || watched[1].fd >= 0 || last_words.is_none() {
            let now = boot_time();
            if last_words.is_some_and(|until| now >= until) {
                return;
            }
            let wait = match last_words {
                Some(_) => Duration::from_millis(20),
                None => self.next_step(now, process),
            };
            let wait_ms = i32::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(i32::MAX);
            // SAFETY: four descriptors that are ours.
            if unsafe { libc::poll(watched.as_mut_ptr(), 4, wait_ms) } <= 0 {
                continue;
            }
            if watched[2].revents != 0 {
                read(watched[2].fd, &mut [0; 8]);
            }
            for (index, channel) in [(0, OutputChannel::Stdout), (1, OutputChannel::Stderr)] {
                if watched[index].fd >= 0
                    && watched[index].revents != 0
                    && !self.take(watched[index].fd, channel, &mut buffer)
                {
                    watched[index].fd = -1;
                }
            }
            if watched[3].fd >= 0 && watched[3].revents != 0 {
                watched[3].fd = -1;
                last_words = Some(boot_time() + LAST_WORDS);
            }
        }
    }

    /// Takes what there is of a pipe; false at its end.
    fn take(&self, fd: RawFd, channel: OutputChannel, buffer: &mut [u8]) -> bool {
        let size = read(fd, buffer);
        if size > 0 {
            self.lock().output.add(channel, &buffer[..size as usize]);
        }
        size > 0 || (size < 0 && matches!(last_error(), libc::EAGAIN | libc::EINTR))
    }

    /// Does what is due, and says how long nothing needs to be looked at.
    fn next_step(&self, now: Duration, process: &Process) -> Duration {
        self.tick(now);
        let mut state = self.lock();
        if state.stop_as.is_some() && !state.asked {
            state.asked = true;
            state.killed_at = Some(now + state.grace);
            process.signal(libc::SIGTERM);
        }
        if state.kill_now || state.killed_at.is_some_and(|at| now >= at) {
            state.kill_now = false;
            state.killed_at = None;
            process.signal(libc::SIGKILL);
        }
        let next = [state.ends_at, state.killed_at].into_iter().flatten().min();
        next.map_or(Duration::from_secs(60), |next| next.saturating_sub(now))
    }

    fn run_handler(self: &Arc<Self>, handler: &Handler, on_started: &dyn Fn()) {
        self.begin(0);
        on_started();
        let context = TaskContext { run: Arc::clone(self) };
        let result = match catch_unwind(AssertUnwindSafe(|| handler(&context))) {
            Ok(Ok(payload)) => Ok(payload),
            Ok(Err(error)) => Err(error.to_string()),
            Err(panic) => Err(format!("the handler panicked: {}", text_of(panic.as_ref()))),
        };
        // A handler that came back because it was told to has not done its work.
        let cut_short = self.is_stopping();
        let outcome = if result.is_ok() && !cut_short { Outcome::Succeeded } else { Outcome::Failed };
        match result {
            Ok(payload) => self.lock().report.result = Some(payload),
            Err(error) if error.is_empty() => self.lock().report.error = "the handler failed without a word".to_owned(),
            Err(error) => self.lock().report.error = one_line(&error, ERROR_BYTES),
        }
        self.end_with(outcome);
    }

    // ---------------------------------------------------------------- stopping

    /// Asks it to end, with SIGKILL for a command's processes after the grace. The first reason is the one reported.
    pub(crate) fn stop(&self, outcome: Outcome, grace_ms: Option<i64>) {
        let mut state = self.lock();
        if state.stop_as.is_some() || state.over {
            return;
        }
        state.stop_as = Some(outcome);
        let own = self.assignment.spec.as_ref().and_then(|spec| spec.grace_ms);
        state.grace = grace_ms.or(own).map_or(DEFAULT_GRACE, duration_of_ms);
        self.wake_up();
    }

    /// Ends a command now.
    pub(crate) fn kill(&self) {
        self.lock().kill_now = true;
        self.wake_up();
    }

    /// Not this worker's any more: nothing will be reported.
    pub(crate) fn disown(&self) {
        self.lock().disowned = true;
        self.stop(Outcome::Revoked, None);
    }

    fn wake_up(&self) {
        self.changed.notify_all();
        let one = 1u64;
        // SAFETY: eight bytes, as an eventfd wants them.
        unsafe { libc::write(self.wake.as_raw_fd(), std::ptr::from_ref(&one).cast(), 8) };
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.lock().stop_as.is_some()
    }

    pub(crate) fn is_disowned(&self) -> bool {
        self.lock().disowned
    }

    pub(crate) fn is_over(&self) -> bool {
        self.lock().over
    }

    /// Looks at the timeout.
    pub(crate) fn tick(&self, now: Duration) {
        let mut state = self.lock();
        if state.over || state.ends_at.is_none_or(|end| now < end) {
            return;
        }
        state.ends_at = None;
        drop(state);
        self.stop(Outcome::TimedOut, None);
    }

    // ---------------------------------------------------------------- handlers

    /// Sleeps; false, and early, when it is to stop.
    pub(crate) fn sleep(&self, time: Duration) -> bool {
        let goes_on = |state: &mut State| state.stop_as.is_none();
        let waited = self.changed.wait_timeout_while(self.lock(), time, goes_on);
        waited.unwrap_or_else(PoisonError::into_inner).0.stop_as.is_none()
    }

    pub(crate) fn set_progress(&self, percent: f64, message: &str) {
        self.lock().progress = Some(TaskProgress {
            attempt_id: self.assignment.attempt_id.clone(),
            fence: self.assignment.fence,
            percent: percent.clamp(0.0, 100.0),
            message: one_line(message, MESSAGE_BYTES),
        });
    }

    /// The latest that has not been taken yet.
    pub(crate) fn take_progress(&self) -> Option<TaskProgress> {
        self.lock().progress.take()
    }
}

fn read(fd: RawFd, buffer: &mut [u8]) -> isize {
    // SAFETY: within the buffer.
    unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) }
}

fn last_error() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a word".to_owned())
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
