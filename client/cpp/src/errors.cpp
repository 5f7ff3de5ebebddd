#include "buildrunner_parallel/errors.h"

#include <array>
#include <utility>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace buildrunner_parallel {
namespace {

constexpr std::string_view kDomain = "parallel.buildrunner.dev";

constexpr std::array<std::pair<std::string_view, ErrorKind>, 19> kByReason{{
    {"SESSION_NOT_FOUND", ErrorKind::kNotFound},
    {"TASK_NOT_FOUND", ErrorKind::kNotFound},
    {"WORKER_NOT_FOUND", ErrorKind::kNotFound},
    {"WORKSPACE_NOT_FOUND", ErrorKind::kNotFound},
    {"LOCK_NOT_FOUND", ErrorKind::kNotFound},
    {"LOCK_NOT_HELD", ErrorKind::kNotFound},
    {"AMBIGUOUS_ID", ErrorKind::kNotFound},
    {"NO_PATCH", ErrorKind::kNotFound},
    {"WRONG_STATE", ErrorKind::kWrongState},
    {"SESSION_CLOSED", ErrorKind::kWrongState},
    {"INVALID", ErrorKind::kInvalid},
    {"UNKNOWN_NEED", ErrorKind::kInvalid},
    {"CYCLE", ErrorKind::kInvalid},
    {"LIMIT", ErrorKind::kLimit},
    {"LOCK_CONFLICT", ErrorKind::kConflict},
    {"DEADLOCK", ErrorKind::kConflict},
    {"STALE", ErrorKind::kStale},
    {"DRAINING", ErrorKind::kUnavailable},
    {"STOPPING", ErrorKind::kUnavailable},
}};

ErrorKind kind_of(grpc::StatusCode code) {
  switch (code) {
    case grpc::UNAUTHENTICATED:
    case grpc::PERMISSION_DENIED:
      return ErrorKind::kUnauthenticated;
    case grpc::NOT_FOUND:
      return ErrorKind::kNotFound;
    case grpc::FAILED_PRECONDITION:
      return ErrorKind::kWrongState;
    case grpc::ABORTED:
      return ErrorKind::kStale;
    case grpc::ALREADY_EXISTS:
    case grpc::INVALID_ARGUMENT:
    case grpc::OUT_OF_RANGE:
      return ErrorKind::kInvalid;
    case grpc::RESOURCE_EXHAUSTED:
      return ErrorKind::kLimit;
    case grpc::UNIMPLEMENTED:
      return ErrorKind::kUnsupported;
    case grpc::UNAVAILABLE:
    case grpc::CANCELLED:
    case grpc::DEADLINE_EXCEEDED:
      return ErrorKind::kUnavailable;
    default:
      return ErrorKind::kInternal;
  }
}

struct Details {
  std::string reason;
  std::optional<std::chrono::milliseconds> retry_after;
  std::vector<v1::LockConflict> conflicts;
};

Details details_of(const grpc::Status& status) {
  Details found;
  google::rpc::Status packed;
  if (!packed.ParseFromString(status.error_details())) return found;
  for (const auto& any : packed.details()) {
    if (google::rpc::ErrorInfo info; any.UnpackTo(&info)) {
      if (info.domain().empty() || info.domain() == kDomain) found.reason = info.reason();
    } else if (google::rpc::RetryInfo retry; any.UnpackTo(&retry)) {
      const auto& delay = retry.retry_delay();
      found.retry_after = std::chrono::milliseconds(delay.seconds() * 1000 + delay.nanos() / 1'000'000);
    } else if (v1::LockConflict conflict; any.UnpackTo(&conflict)) {
      found.conflicts.push_back(std::move(conflict));
    }
  }
  return found;
}

std::string text_of(const grpc::Status& status, const std::string& reason, const std::string& address) {
  const bool gone = status.error_code() == grpc::UNAVAILABLE || status.error_code() == grpc::CANCELLED;
  if (reason.empty() && gone) {
    return "the coordinator at " + address + " cannot be reached (" + status.error_message() +
           "); see whether it runs, then try again";
  }
  if (reason.empty() && status.error_code() == grpc::DEADLINE_EXCEEDED) {
    return "the coordinator at " + address +
           " did not answer in time; see whether its machine is overloaded, then try again";
  }
  return status.error_message();
}

}  // namespace

std::string_view to_string(ErrorKind kind) {
  constexpr std::array<std::string_view, 11> kNames{
      "invalid",         "not_found",   "conflict",    "wrong_state", "limit",   "stale",
      "unauthenticated", "unavailable", "unsupported", "timeout",     "internal"};
  return kNames.at(static_cast<size_t>(kind));
}

std::string reason_of(const grpc::Status& status) { return details_of(status).reason; }

void throw_error(const grpc::Status& status, const std::string& address) {
  Details details = details_of(status);
  ErrorKind kind = kind_of(status.error_code());
  for (const auto& [reason, known] : kByReason) {
    if (reason == details.reason) kind = known;
  }
  const std::string text = text_of(status, details.reason, address);
  if (kind == ErrorKind::kConflict) {
    throw LockConflictError(details.reason, text, std::move(details.conflicts));
  }
  Error error(kind, details.reason, text);
  error.retry_after = details.retry_after;
  throw error;
}

}  // namespace buildrunner_parallel
