#include "task_run.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>

#include "environment.h"
#include "process.h"

namespace fs = std::filesystem;

namespace buildrunner_parallel {
namespace {

constexpr int64_t kDefaultGraceMs = 10'000;
constexpr size_t kErrorBytes = 4096;
constexpr std::uintmax_t kResultBytes = 1 << 20;
constexpr size_t kReadBytes = 64 << 10;
constexpr int64_t kSmallOutput = 32 << 10;
// How often what a task writes is sent while it runs, and the least that is then sent behind its beginning.
constexpr auto kOutputInterval = Milliseconds(500);
constexpr int64_t kLeastRation = 32 << 10;
constexpr auto kLastWords = Milliseconds(1'000);

// A folder for the files of one task, which goes with it.
class Folder {
 public:
  Folder() {
    std::string name = (fs::temp_directory_path() / "br-task-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) {
      throw std::system_error(errno, std::generic_category(), "no folder can be made for the task's result");
    }
    path_ = name;
  }
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string file(const char* name) const { return (path_ / name).string(); }

 private:
  fs::path path_;
};

std::optional<std::string> read_file(const std::string& name, std::uintmax_t most) {
  std::error_code failed;
  const auto size = fs::file_size(name, failed);
  if (failed || size == 0 || size > most) return std::nullopt;
  std::ifstream in(name, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

std::string last_line(const std::string& text) {
  const auto end = text.find_last_not_of(" \t\r\n");
  if (end == std::string::npos) return "";
  const auto start = text.find_last_of("\r\n", end);
  return text.substr(start == std::string::npos ? 0 : start + 1,
                     end - (start == std::string::npos ? 0 : start + 1) + 1);
}

}  // namespace

BootClock::time_point BootClock::now() {
  timespec time{};
  clock_gettime(CLOCK_BOOTTIME, &time);
  return time_point(std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec));
}

int64_t unix_microseconds() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::microseconds>(now).count();
}

std::string one_line(const std::string& text, size_t most) {
  std::string line;
  for (size_t at = 0; at < text.size();) {
    const auto lead = static_cast<unsigned char>(text[at]);
    const size_t length = lead < 0x80 ? 1 : lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC2 ? 2 : 0;
    bool valid = length > 0 && lead < 0xF5 && at + length <= text.size();
    for (size_t i = 1; valid && i < length; ++i)
      valid = (static_cast<unsigned char>(text[at + i]) & 0xC0) == 0x80;
    std::string next = valid ? text.substr(at, length) : "\xEF\xBF\xBD";
    if (length == 1 && (lead < 0x20 || lead == 0x7F)) next = " ";
    if (line.size() + next.size() > most) break;
    line += next;
    at += valid ? length : 1;
  }
  // Sequences that look right and are not (surrogates, overlong forms) are rarer than worth a table of their
  // own; protobuf refuses them, and then the text is left out.
  return line;
}

// ------------------------------------------------------------------- the run

TaskRun::TaskRun(v1::Assignment assignment, Surroundings surroundings)
    : assignment_(std::move(assignment)),
      surroundings_(std::move(surroundings)),
      output_(surroundings_.output_head_bytes, surroundings_.output_tail_bytes),
      wake_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  report_.set_attempt_id(assignment_.attempt_id());
  report_.set_fence(assignment_.fence());
  report_.set_slot(surroundings_.slot);
}

TaskRun::~TaskRun() { close(wake_fd_); }

v1::HeldAttempt TaskRun::held() const {
  std::lock_guard lock(mutex_);
  v1::HeldAttempt held;
  held.set_attempt_id(assignment_.attempt_id());
  held.set_fence(assignment_.fence());
  held.set_started(report_.started_at_us() > 0);
  held.set_ended(over_);
  held.set_pid(report_.pid());
  held.set_started_at_us(report_.started_at_us());
  return held;
}

void TaskRun::begin(int pid) {
  std::lock_guard lock(mutex_);
  report_.set_pid(pid);
  report_.set_started_at_us(unix_microseconds());
  const int64_t timeout_ms = assignment_.spec().timeout_ms();
  if (timeout_ms > 0) ends_at_ = BootClock::now() + Milliseconds(timeout_ms);
}

void TaskRun::end_with(v1::Outcome outcome) {
  std::lock_guard lock(mutex_);
  // What succeeded all the same is reported as succeeded.
  report_.set_outcome(stop_as_ && outcome != v1::OUTCOME_SUCCEEDED ? *stop_as_ : outcome);
  report_.set_ended_at_us(unix_microseconds());
  over_ = true;
}

void TaskRun::run_command(const std::function<void()>& on_started) {
  if (is_stopping()) return end_with(v1::OUTCOME_NOT_STARTED);
  try {
    const Folder folder;
    const auto& spec = assignment_.spec();
    std::vector<std::string> argv(spec.command().argv().begin(), spec.command().argv().end());
    if (!spec.command().shell_line().empty()) argv = {"/bin/sh", "-c", spec.command().shell_line()};
    if (argv.empty()) return refuse("this worker does not know this kind of command; use a newer one");
    const std::map<std::string, std::string> identity{
        {"BR_SESSION_ID", assignment_.session_id()},
        {"BR_SESSION_NAME", assignment_.session_name()},
        {"BR_TASK_ID", spec.task_id()},
        {"BR_ATTEMPT", std::to_string(assignment_.number())},
        {"BR_ATTEMPT_ID", assignment_.attempt_id()},
        {"BR_FENCE", std::to_string(assignment_.fence())},
        {"BR_WORKER_ID", surroundings_.worker_id},
        {"BR_SLOT", std::to_string(surroundings_.slot)},
        {"BR_COORDINATOR", surroundings_.address},
        {"BR_RESULT_FILE", folder.file("result")},
        {"BR_ERROR_FILE", folder.file("error")},
    };
    std::vector<std::string> environment;
    for (const auto& [name, value] : task_environment(own_environment(), assignment_, identity)) {
      environment.push_back(name + "=" + value);
    }
    Process process(argv, environment, directory_of(spec.directory()));
    begin(process.pid());
    on_started();
    follow(process);
    const Exit exit = process.wait();
    {
      std::lock_guard lock(mutex_);
      if (exit.code) report_.set_exit_code(*exit.code);
      report_.set_signal(exit.signal);
      report_.mutable_usage()->set_user_cpu_us(exit.user_us);
      report_.mutable_usage()->set_system_cpu_us(exit.system_us);
      report_.mutable_usage()->set_max_rss_bytes(exit.max_rss_bytes);
      if (auto result = read_file(folder.file("result"), kResultBytes))
        report_.mutable_result()->set_data(*result);
      if (auto error = read_file(folder.file("error"), kResultBytes)) {
        report_.set_error(one_line(last_line(*error), kErrorBytes));
      }
      report_.set_output_bytes(output_.total_bytes());
      report_.set_output_dropped_bytes(output_.dropped_bytes());
    }
    end_with(exit.code == 0 ? v1::OUTCOME_SUCCEEDED : v1::OUTCOME_FAILED);
  } catch (const std::system_error& error) {
    refuse(error.what());
  }
}

// Reads what the command writes until it has ended and its pipes are empty, and stops it when it is time to.
void TaskRun::follow(Process& process) {
  std::array<char, kReadBytes> buffer;
  std::array<pollfd, 4> watched{{{process.out(), POLLIN, 0},
                                 {process.err(), POLLIN, 0},
                                 {wake_fd_, POLLIN, 0},
                                 {process.ended(), POLLIN, 0}}};
  // After its end a pipe that somebody out of reach keeps open is read for a moment only.
  std::optional<BootClock::time_point> last_words;
  while (watched[0].fd >= 0 || watched[1].fd >= 0 || !last_words) {
    const auto now = BootClock::now();
    if (last_words && now >= *last_words) return;
    Milliseconds wait = last_words ? Milliseconds(20) : until_next_step(now);
    {
      std::lock_guard lock(mutex_);
      if (!last_words && stop_as_ && !asked_) {
        asked_ = true;
        killed_at_ = now + Milliseconds(stop_grace_ms_);
        process.signal(SIGTERM);
        wait = Milliseconds(0);
      }
      if (!last_words && (kill_now_ || (killed_at_ && now >= *killed_at_))) {
        kill_now_ = false;
        killed_at_.reset();
        process.signal(SIGKILL);
      }
    }
    if (poll(watched.data(), watched.size(), static_cast<int>(wait.count())) <= 0) continue;
    if (watched[2].revents != 0) {
      uint64_t count = 0;
      [[maybe_unused]] const auto ignored = read(wake_fd_, &count, sizeof count);
    }
    for (int i = 0; i < 2; ++i) {
      if (watched[i].fd < 0 || watched[i].revents == 0) continue;
      const ssize_t size = read(watched[i].fd, buffer.data(), buffer.size());
      if (size > 0) {
        const auto channel = i == 0 ? v1::OUTPUT_CHANNEL_STDOUT : v1::OUTPUT_CHANNEL_STDERR;
        std::lock_guard lock(mutex_);
        output_.add(channel, {buffer.data(), static_cast<size_t>(size)});
      } else if (size == 0 || (errno != EAGAIN && errno != EINTR)) {
        watched[i].fd = -1;
      }
    }
    if (watched[3].fd >= 0 && watched[3].revents != 0) {
      watched[3].fd = -1;
      last_words = now + kLastWords;
    }
  }
}

// How long nothing needs to be looked at; ends what has run too long.
Milliseconds TaskRun::until_next_step(BootClock::time_point now) {
  tick(now);
  std::lock_guard lock(mutex_);
  auto next = now + std::chrono::seconds(60);
  if (ends_at_) next = std::min(next, *ends_at_);
  if (killed_at_) next = std::min(next, *killed_at_);
  return std::chrono::ceil<Milliseconds>(next - now);
}

void TaskRun::run_handler(const Handler& handler, const std::function<void()>& on_started) {
  if (is_stopping()) return end_with(v1::OUTCOME_NOT_STARTED);
  begin(0);
  on_started();
  TaskContext context(*this);
  std::string error;
  try {
    v1::Payload result = handler(context);
    std::lock_guard lock(mutex_);
    *report_.mutable_result() = std::move(result);
  } catch (const std::exception& thrown) {
    error = *thrown.what() == '\0' ? "the handler failed without a word" : thrown.what();
  } catch (...) {
    error = "the handler threw something that is no std::exception";
  }
  // A handler that came back because it was told to has not done its work.
  const bool cut_short = is_stopping();
  if (!error.empty()) {
    std::lock_guard lock(mutex_);
    report_.set_error(one_line(error, kErrorBytes));
  }
  end_with(error.empty() && !cut_short ? v1::OUTCOME_SUCCEEDED : v1::OUTCOME_FAILED);
}

void TaskRun::refuse(const std::string& why) {
  {
    std::lock_guard lock(mutex_);
    report_.set_error(one_line(why, kErrorBytes));
  }
  end_with(v1::OUTCOME_NOT_STARTED);
}

void TaskRun::stop(v1::Outcome outcome, std::optional<int64_t> grace_ms) {
  {
    std::lock_guard lock(mutex_);
    if (stop_as_ || over_) return;
    stop_as_ = outcome;
    stop_from_ = BootClock::now();
    const auto& spec = assignment_.spec();
    stop_grace_ms_ = grace_ms.value_or(spec.has_grace_ms() ? spec.grace_ms() : kDefaultGraceMs);
  }
  wake();
}

void TaskRun::kill() {
  {
    std::lock_guard lock(mutex_);
    kill_now_ = true;
  }
  wake();
}

void TaskRun::disown() {
  {
    std::lock_guard lock(mutex_);
    disowned_ = true;
  }
  stop(v1::OUTCOME_REVOKED);
}

void TaskRun::wake() {
  changed_.notify_all();
  const uint64_t one = 1;
  [[maybe_unused]] const auto ignored = write(wake_fd_, &one, sizeof one);
}

bool TaskRun::is_stopping() const {
  std::lock_guard lock(mutex_);
  return stop_as_.has_value();
}

bool TaskRun::is_disowned() const {
  std::lock_guard lock(mutex_);
  return disowned_;
}

bool TaskRun::is_over() const {
  std::lock_guard lock(mutex_);
  return over_;
}

bool TaskRun::is_stuck(BootClock::time_point now) const {
  std::lock_guard lock(mutex_);
  return is_handler() && report_.started_at_us() > 0 && !over_ && stop_as_ &&
         now - stop_from_ >= Milliseconds(stop_grace_ms_);
}

void TaskRun::tick(BootClock::time_point now) {
  {
    std::lock_guard lock(mutex_);
    if (!ends_at_ || now < *ends_at_ || over_) return;
    ends_at_.reset();
  }
  stop(v1::OUTCOME_TIMED_OUT);
}

bool TaskRun::sleep_for(Milliseconds time) {
  std::unique_lock lock(mutex_);
  return !changed_.wait_for(lock, time, [this] { return stop_as_.has_value(); });
}

void TaskRun::set_progress(double percent, std::string message) {
  std::lock_guard lock(mutex_);
  v1::TaskProgress progress;
  progress.set_attempt_id(assignment_.attempt_id());
  progress.set_fence(assignment_.fence());
  progress.set_percent(std::clamp(percent, 0.0, 100.0));
  progress.set_message(one_line(message, 256));
  progress_ = std::move(progress);
}

std::optional<v1::TaskProgress> TaskRun::take_progress() {
  std::lock_guard lock(mutex_);
  return std::exchange(progress_, std::nullopt);
}

v1::TaskStarted TaskRun::started() const {
  std::lock_guard lock(mutex_);
  v1::TaskStarted started;
  started.set_attempt_id(assignment_.attempt_id());
  started.set_fence(assignment_.fence());
  started.set_pid(report_.pid());
  started.set_started_at_us(report_.started_at_us());
  started.set_slot(surroundings_.slot);
  return started;
}

v1::TaskReport TaskRun::report() const {
  std::lock_guard lock(mutex_);
  return report_;
}

// -------------------------------------------------------------------- output

void TaskRun::start_is_known() {
  std::lock_guard lock(mutex_);
  if (start_known_) return;
  start_known_ = true;
  next_output_at_ = BootClock::now() + kOutputInterval;
}

std::optional<std::vector<v1::OutputChunk>> TaskRun::small_output() {
  std::lock_guard lock(mutex_);
  if (output_sent_ || output_.total_bytes() > kSmallOutput) {
    output_sent_ = true;
    return std::nullopt;
  }
  output_in_report_ = true;
  return output_.from(0, std::numeric_limits<int64_t>::max());
}

bool TaskRun::has_output_due(BootClock::time_point now) const {
  std::lock_guard lock(mutex_);
  if (is_output_unwanted() || output_in_report_ || durable_ >= output_.total_bytes()) return false;
  return over_ ? output_sent_ : start_known_ && now >= next_output_at_;
}

std::vector<v1::OutputChunk> TaskRun::next_output(int64_t position, int64_t most_bytes) {
  std::lock_guard lock(mutex_);
  if (is_output_unwanted() || output_in_report_ || position >= output_.total_bytes()) return {};
  output_sent_ = true;
  if (over_) return output_.from(position, most_bytes);
  if (position < output_.head_end()) return output_.from(position, most_bytes, output_.head_end());
  // Behind the beginning only the newest is held, and a task may write more than anybody should be sent.
  if (ration_ <= 0) return {};
  auto pieces = output_.from(position, std::min(most_bytes, ration_));
  for (const auto& piece : pieces) ration_ -= static_cast<int64_t>(piece.data().size());
  return pieces;
}

int64_t TaskRun::durable_output() const {
  std::lock_guard lock(mutex_);
  return durable_;
}

bool TaskRun::output_taken(const v1::OutputAcknowledgement& ack) {
  std::lock_guard lock(mutex_);
  if (ack.fence() != assignment_.fence()) return false;
  if (ack.stale()) return !std::exchange(output_stale_, true);
  const int64_t offset = std::min(ack.offset(), output_.total_bytes());
  if (offset <= durable_) return false;
  durable_ = offset;
  output_.release(offset);
  return true;
}

void TaskRun::rewind_output(int64_t offset) {
  std::lock_guard lock(mutex_);
  durable_ = std::clamp<int64_t>(offset, 0, output_.total_bytes());
  output_in_report_ = false;
  output_sent_ = true;
}

void TaskRun::rest_output(BootClock::time_point now) {
  std::lock_guard lock(mutex_);
  if (durable_ < output_.head_end()) return;
  next_output_at_ = now + kOutputInterval;
  ration_ = std::max(surroundings_.output_tail_bytes / 2, kLeastRation);
}

bool TaskRun::is_output_settled() const {
  std::lock_guard lock(mutex_);
  return is_output_unwanted() || durable_ >= output_.total_bytes();
}

bool TaskRun::is_output_stale() const {
  std::lock_guard lock(mutex_);
  return output_stale_;
}

// --------------------------------------------------------------- TaskContext

const v1::Assignment& TaskContext::assignment() const { return run_.assignment(); }
void TaskContext::progress(double percent, std::string message) {
  run_.set_progress(percent, std::move(message));
}
bool TaskContext::cancelled() const { return run_.is_stopping(); }
bool TaskContext::sleep_for(std::chrono::milliseconds time) const { return run_.sleep_for(time); }

v1::Payload json_result(std::string json) {
  v1::Payload result;
  result.set_data(std::move(json));
  result.set_content_type("application/json");
  return result;
}

}  // namespace buildrunner_parallel
