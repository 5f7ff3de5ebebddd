#include "calls.h"

#include <algorithm>
#include <array>
#include <random>
#include <thread>

namespace buildrunner_parallel {
namespace {

constexpr int kMessageBytes = 4 * 1024 * 1024;

bool is_on_this_machine(const std::string& address) {
  constexpr std::array<std::string_view, 4> kLocal{"unix:", "127.", "localhost", "[::1]"};
  return std::any_of(kLocal.begin(), kLocal.end(), [&](auto prefix) { return address.starts_with(prefix); });
}

std::shared_ptr<grpc::Channel> open_channel(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 20'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2'000);
  // A page of a thousand tasks with long errors is more than we would ever send.
  arguments.SetInt(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, 16 * kMessageBytes);
  arguments.SetInt(GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, kMessageBytes);
  // Repeating is decided here, where it is known what may be repeated.
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  // Two channels of one process to one address must not share a broken connection.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  if (is_on_this_machine(address)) arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

uint64_t random_number() {
  thread_local std::mt19937_64 generator{std::random_device{}()};
  return generator();
}

}  // namespace

std::string random_id() {
  std::array<char, 17> text{};
  std::snprintf(text.data(), text.size(), "%016llx", static_cast<unsigned long long>(random_number()));
  return text.data();
}

Milliseconds Backoff::next() {
  const auto half = step_.count() / 2;
  const Milliseconds pause(half + static_cast<int64_t>(random_number() % static_cast<uint64_t>(half + 1)));
  step_ = std::min(step_ * 2, Milliseconds(2'000));
  return pause;
}

Calls::Calls(Target target) : target_(std::move(target)) {
  const auto channel = open_channel(target_.address);
  coordinator = v1::CoordinatorService::NewStub(channel);
  sessions = v1::SessionService::NewStub(channel);
  tasks = v1::TaskService::NewStub(channel);
  locks = v1::LockService::NewStub(channel);
  logs = v1::LogService::NewStub(channel);
  events = v1::EventService::NewStub(channel);
  workers = v1::WorkerService::NewStub(channel);
}

void Calls::prepare(grpc::ClientContext& context, Milliseconds timeout) const {
  if (!target_.token.empty()) context.AddMetadata("authorization", "Bearer " + target_.token);
  context.AddMetadata("br-client-id", client_id_);
  if (timeout.count() > 0) context.set_deadline(std::chrono::system_clock::now() + timeout);
}

bool Calls::is_passing(const grpc::Status& status) {
  // A coordinator that ends cancels what it was asked.
  const bool gone = status.error_code() == grpc::UNAVAILABLE || status.error_code() == grpc::CANCELLED;
  return gone && reason_of(status) != "DRAINING";
}

Milliseconds Calls::remaining(std::chrono::steady_clock::time_point deadline) {
  const auto left = std::chrono::duration_cast<Milliseconds>(deadline - std::chrono::steady_clock::now());
  return std::max(left, Milliseconds(1));
}

bool Calls::pause(Milliseconds time, std::chrono::steady_clock::time_point deadline) {
  if (std::chrono::steady_clock::now() + time >= deadline) return false;
  std::this_thread::sleep_for(time);
  return true;
}

}  // namespace buildrunner_parallel
