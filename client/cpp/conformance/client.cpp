// The client under test of tests/conformance: a JSON object a line on standard input, an answer a line on
// standard output.
#include "buildrunner_parallel/client.h"

#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace br = buildrunner_parallel;
namespace v1 = buildrunner_parallel::v1;
using nlohmann::json;
using std::chrono::milliseconds;

namespace {

milliseconds seconds(const json& value) {
  return milliseconds(static_cast<int64_t>(value.get<double>() * 1000));
}

// "SESSION_STATUS_RUNNING" is told as "running".
std::string lower(const std::string& name, const std::string& prefix) {
  std::string text = name.starts_with(prefix) ? name.substr(prefix.size()) : "unspecified";
  for (char& letter : text) letter = static_cast<char>(std::tolower(letter));
  return text;
}
std::string word(v1::SessionStatus status) {
  return lower(v1::SessionStatus_Name(status), "SESSION_STATUS_");
}
std::string word(v1::TaskStatus status) { return lower(v1::TaskStatus_Name(status), "TASK_STATUS_"); }

v1::TaskSpec task_from(const json& given) {
  const std::string id = given.at("task_id");
  v1::TaskSpec spec = given.contains("argv") ? br::command(id, given["argv"].get<std::vector<std::string>>())
                      : given.contains("run")
                          ? br::shell(id, given["run"])
                          : br::handler(id, given.at("handler"), given.value("payload", ""));
  for (const auto& need : given.value("needs", json::array())) spec.add_needs(need.get<std::string>());
  for (const auto& label : given.value("labels", json::array())) spec.add_labels(label.get<std::string>());
  for (const auto& file : given.value("files", json::array())) {
    const bool shared = file.value("shared", false);
    *spec.add_files() = br::path(file.at("path"), shared ? v1::LOCK_MODE_SHARED : v1::LOCK_MODE_EXCLUSIVE);
  }
  if (given.contains("timeout_s")) spec.set_timeout_ms(seconds(given["timeout_s"]).count());
  if (given.contains("grace_s")) spec.set_grace_ms(seconds(given["grace_s"]).count());
  spec.mutable_retry()->set_max_retries(given.value("retries", 0));
  spec.set_priority(given.value("priority", 0));
  return spec;
}

std::vector<v1::PathRequest> paths_from(const json& asked) {
  const bool shared = asked.value("shared", false);
  std::vector<v1::PathRequest> paths;
  for (const auto& text : asked.value("paths", json::array())) {
    paths.push_back(br::path(text, shared ? v1::LOCK_MODE_SHARED : v1::LOCK_MODE_EXCLUSIVE));
  }
  return paths;
}

template <class Locks>
json names_of(const Locks& locks) {
  json names = json::array();
  for (const auto& lock : locks) names.push_back(lock.path());
  return names;
}

struct Following {
  br::Watch watch;
  int resets = 0;
  int compactions = 0;
  std::map<std::string, std::string> known{};
  json changes = json::array();

  void take(const v1::WatchResponse& message) {
    if (message.reset()) {
      ++resets;
      known.clear();
    }
    if (message.compacted()) ++compactions;
    for (const auto& change : message.changes()) {
      if (!change.has_task()) continue;
      const std::string status = word(change.task().status());
      known[change.task().task_id()] = status;
      changes.push_back({change.task().revision(), change.task().task_id(), status});
    }
  }
};

class Driver {
 public:
  json answer(const json& asked) {
    const std::string op = asked.at("op");
    const std::string session = asked.value("session_id", "");
    if (op == "info") {
      const auto info = client().info();
      return {
          {"version", info.version()},
          {"store_id", info.store_id()},
          {"epoch", info.epoch()},
          {"capabilities", std::vector<std::string>(info.capabilities().begin(), info.capabilities().end())}};
    }
    if (op == "create_session") {
      br::SessionOptions options;
      if (asked.contains("metadata")) options.metadata_json = asked["metadata"].dump();
      return {{"session_id", client().create_session(asked.at("name"), options).session_id()}};
    }
    if (op == "start_session") return {{"status", word(client().start_session(session).status())}};
    if (op == "pause_session") return {{"status", word(client().pause_session(session).status())}};
    if (op == "resume_session") return {{"status", word(client().resume_session(session).status())}};
    if (op == "cancel_session") return {{"status", word(client().cancel_session(session).status())}};
    if (op == "close_session") return {{"status", word(client().close_session(session).status())}};
    if (op == "submit") return submit(asked, session);
    if (op == "get_task") return get_task(session, asked.at("task_id"));
    if (op == "cancel_task") {
      return {{"status", word(client().cancel_task(session, asked.at("task_id")).status())}};
    }
    if (op == "wait_session") {
      const auto ended = client().wait_session(session, seconds(asked.at("timeout_s")));
      return {{"status", word(ended.status())},
              {"succeeded", ended.counts().succeeded()},
              {"failed", ended.counts().failed()}};
    }
    if (op == "lock") return lock(asked, session);
    if (op == "renew") {
      return {{"lease_s", client().renew(asked.at("grant_id"), asked.at("fence")).count() / 1000.0}};
    }
    if (op == "unlock") {
      const auto given = client().release(session, asked.value("grant_id", ""),
                                          asked.value("fence", int64_t{0}), paths_from(asked));
      return {{"paths", names_of(given)}};
    }
    if (op == "logs") {
      const auto output = client().read_output(session, asked.at("task_id"));
      return {{"stdout", output.out}, {"stderr", output.err}};
    }
    if (op == "watch") return watch(asked, session);
    if (op == "watch_until") return watch_until(asked);
    if (op == "watch_close") {
      watches_.erase(asked.at("watch").get<int>());
      return json::object();
    }
    throw br::Error(br::ErrorKind::kInvalid, "", "there is no op " + op);
  }

 private:
  json submit(const json& asked, const std::string& session) {
    std::vector<v1::TaskSpec> tasks;
    for (const auto& given : asked.at("tasks")) tasks.push_back(task_from(given));
    json ids = json::array();
    for (const auto& task : client().submit(session, tasks, asked.value("request_id", ""))) {
      ids.push_back(task.task_id());
    }
    return {{"task_ids", ids}};
  }

  json get_task(const std::string& session, const std::string& id) {
    const auto task = client().get_task(session, id);
    json answer{{"status", word(task.summary().status())},
                {"attempts", task.attempts_size()},
                {"exit_code", nullptr},
                {"error", task.summary().error()},
                {"result", ""}};
    if (task.attempts_size() > 0) {
      const auto& last = task.attempts(task.attempts_size() - 1);
      if (last.has_exit_code()) answer["exit_code"] = last.exit_code();
      answer["result"] = last.result().data();
    }
    return answer;
  }

  json lock(const json& asked, const std::string& session) {
    br::LockOptions options;
    options.wait = seconds(asked.value("wait_s", json(0)));
    if (asked.contains("lease_s") && !asked["lease_s"].is_null()) options.lease = seconds(asked["lease_s"]);
    const auto grant = client().acquire(session, paths_from(asked), options);
    return {{"grant_id", grant.grant_id()}, {"fence", grant.fence()}, {"paths", names_of(grant.locks())}};
  }

  json watch(const json& asked, const std::string& session) {
    br::WatchOptions options;
    options.session_ids = {session};
    options.ended_tasks = true;
    if (asked.contains("since") && !asked["since"].is_null()) {
      options.since_revision = asked["since"].get<int64_t>();
      options.store_id = asked.value("store_id", "");
    }
    const int number = ++last_watch_;
    Following& following = watches_.emplace(number, Following{client().watch(options)}).first->second;
    // It follows from now on: what has begun to arrive is taken at once.
    if (const auto message = following.watch.next(std::chrono::seconds(10))) following.take(*message);
    return {{"watch", number}};
  }

  json watch_until(const json& asked) {
    const auto found = watches_.find(asked.at("watch").get<int>());
    if (found == watches_.end()) throw br::Error(br::ErrorKind::kNotFound, "", "there is no such watch");
    Following& following = found->second;
    const std::string task = asked.at("task_id");
    const std::string status = asked.at("status");
    const auto deadline = std::chrono::steady_clock::now() + seconds(asked.at("timeout_s"));
    while (following.known[task] != status) {
      const auto left = std::chrono::duration_cast<milliseconds>(deadline - std::chrono::steady_clock::now());
      if (left.count() <= 0)
        throw br::Error(br::ErrorKind::kTimeout, "", "task " + task + " was not seen " + status);
      if (const auto message = following.watch.next(left)) following.take(*message);
    }
    json answer{{"revision", following.watch.revision()},
                {"resets", following.resets},
                {"compactions", following.compactions},
                {"reconnects", following.watch.reconnects()},
                {"changes", following.changes}};
    following.changes = json::array();
    return answer;
  }

  // Made with the first question, so that what is wrong with it is an answer.
  br::Client& client() {
    if (!client_) client_ = br::Client::connect();
    return *client_;
  }

  std::optional<br::Client> client_;
  std::map<int, Following> watches_;
  int last_watch_ = 0;
};

json error_of(const br::Error& error) {
  json told{{"kind", br::to_string(error.kind())}, {"reason", error.reason()}, {"message", error.what()}};
  if (const auto* conflict = dynamic_cast<const br::LockConflictError*>(&error)) {
    told["conflicts"] = json::array();
    for (const auto& clash : conflict->conflicts()) {
      told["conflicts"].push_back({{"path", clash.asked_path()},
                                   {"held_path", clash.held_path()},
                                   {"session_id", clash.holder().session_id()},
                                   {"session_name", clash.holder().session_name()}});
    }
  }
  return told;
}

}  // namespace

int main() try {
  Driver driver;
  for (std::string line; std::getline(std::cin, line);) {
    json answer{{"id", nullptr}};
    try {
      const json asked = json::parse(line);
      answer["id"] = asked.value("id", json());
      answer["ok"] = driver.answer(asked);
    } catch (const br::Error& error) {
      answer["error"] = error_of(error);
    } catch (const json::exception& error) {
      answer["error"] = {{"kind", "invalid"}, {"reason", ""}, {"message", error.what()}};
    }
    // What is no UTF-8 in a task's output is told as such, not refused.
    std::cout << answer.dump(-1, ' ', false, json::error_handler_t::replace) << std::endl;
  }
} catch (const br::Error& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
