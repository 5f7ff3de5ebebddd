// What the client throws. Decide by `kind()` or `reason()`; the text is for people: it says what was wrong
// and what to do next.
#pragma once

#include <grpcpp/support/status.h>

#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "buildrunner_parallel/v1/types.pb.h"

namespace buildrunner_parallel {

enum class ErrorKind {
  kInvalid,          // malformed, or refers to something impossible
  kNotFound,         // no such session, task, worker or lock (any more)
  kConflict,         // paths are held by somebody else: see LockConflictError
  kWrongState,       // not in this state
  kLimit,            // too large, too many, too fast
  kStale,            // not, or no more, the holder
  kUnauthenticated,  // the token is missing or unknown
  kUnavailable,      // no coordinator answers
  kUnsupported,      // this coordinator does not serve the call
  kTimeout,          // a wait of the caller's own ran out
  kInternal,         // a fault of the coordinator's, or one that is not known here
};

// The kind in lower case, such as "not_found".
std::string_view to_string(ErrorKind kind);

class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, std::string reason, const std::string& message)
      : std::runtime_error(message), kind_(kind), reason_(std::move(reason)) {}

  ErrorKind kind() const { return kind_; }
  // UPPER_SNAKE, such as "SESSION_NOT_FOUND"; empty where the coordinator gave none.
  const std::string& reason() const { return reason_; }
  // How long to wait before trying again makes sense, where the coordinator said so.
  std::optional<std::chrono::milliseconds> retry_after;

 private:
  ErrorKind kind_;
  std::string reason_;
};

// Paths are taken, or (DEADLOCK) waiting for them would close a circle.
class LockConflictError : public Error {
 public:
  LockConflictError(std::string reason, const std::string& message, std::vector<v1::LockConflict> conflicts)
      : Error(ErrorKind::kConflict, std::move(reason), message), conflicts_(std::move(conflicts)) {}

  // One for each clash: which path was asked for, which is held, by whom, since when.
  const std::vector<v1::LockConflict>& conflicts() const { return conflicts_; }

 private:
  std::vector<v1::LockConflict> conflicts_;
};

// Throws the error that a status stands for. `address` is named when nobody answered there.
[[noreturn]] void throw_error(const grpc::Status& status, const std::string& address);

// The reason in the status' details; empty when it has none of ours.
std::string reason_of(const grpc::Status& status);

}  // namespace buildrunner_parallel
