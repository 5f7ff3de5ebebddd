// Following what changes. A watch reads only when it is asked to, so a slow reader costs no memory: the
// coordinator closes a stream that is not read, and the watch goes on behind the last message that was handed
// out.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "buildrunner_parallel/v1/event_service.pb.h"

namespace buildrunner_parallel {

class Calls;

struct WatchOptions {
  // Only what belongs to these; empty: everything, but then tasks only as they change.
  std::vector<std::string> session_ids;
  // Tasks that are over belong to the snapshot too.
  bool ended_tasks = false;
  // Go on behind this revision of the store with that id, from an earlier watch.
  std::optional<int64_t> since_revision;
  std::string store_id;
};

class Watch {
 public:
  Watch(std::shared_ptr<const Calls> calls, WatchOptions options);
  ~Watch();
  Watch(Watch&&) noexcept;
  Watch& operator=(Watch&&) noexcept;

  // The next message; nothing when none comes in time. After `reset` forget everything seen before; an entity
  // in a change replaces what was known of it. A stream that breaks is resumed, without an end, with nothing
  // left out. Throws Error for what will not pass, such as a session that is not there.
  std::optional<v1::WatchResponse> next(std::chrono::milliseconds timeout);

  // Behind the last message that was handed out; with store_id() this is where another watch can go on.
  int64_t revision() const;
  const std::string& store_id() const;
  // How often the stream broke and was taken up again.
  int reconnects() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace buildrunner_parallel
