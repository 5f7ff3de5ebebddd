#include <condition_variable>
#include <mutex>
#include <thread>

#include "buildrunner_parallel/client.h"
#include "calls.h"

namespace buildrunner_parallel {

using Clock = std::chrono::steady_clock;
using Locks = v1::LockService::StubInterface;

struct HeldLocks::State {
  std::shared_ptr<const Calls> calls;
  v1::AcquireLocksResponse grant;
  std::string session_id;
  std::function<void(const Error&)> on_lost;
  std::mutex mutex;
  std::condition_variable changed;
  bool ended = false;
  std::optional<Error> lost;
  std::thread renewer;

  // Renews every third of the lease, which counts from the sending of the last renewal that was answered.
  void keep(Clock::time_point sent) {
    const Milliseconds lease(grant.lease_ms());
    std::unique_lock lock(mutex);
    while (!changed.wait_for(lock, lease / 3, [this] { return ended; })) {
      lock.unlock();
      const auto asked_at = Clock::now();
      std::optional<Error> failure;
      try {
        v1::RenewLeaseRequest request;
        request.set_grant_id(grant.grant_id());
        request.set_fence(grant.fence());
        calls->call(*calls->locks, &Locks::RenewLease, request, lease / 3);
        sent = asked_at;
      } catch (const Error& error) {
        const bool is_over = error.kind() != ErrorKind::kUnavailable || Clock::now() - sent >= lease;
        if (is_over) failure = error;
      }
      lock.lock();
      if (ended) return;
      if (failure) {
        lost = failure;
        lock.unlock();
        if (on_lost) on_lost(*failure);
        return;
      }
    }
  }

  // False when that was done before.
  bool end() {
    {
      std::lock_guard lock(mutex);
      if (ended) return false;
      ended = true;
    }
    changed.notify_all();
    if (renewer.get_id() == std::this_thread::get_id()) {
      renewer.detach();  // called by on_lost, behind which the thread ends by itself
    } else if (renewer.joinable()) {
      renewer.join();
    }
    return true;
  }
};

HeldLocks::HeldLocks(std::shared_ptr<const Calls> calls, v1::AcquireLocksResponse grant,
                     std::string session_id, Clock::time_point granted_at,
                     std::function<void(const Error&)> on_lost)
    : state_(std::make_shared<State>()) {
  state_->calls = std::move(calls);
  state_->grant = std::move(grant);
  state_->session_id = std::move(session_id);
  state_->on_lost = std::move(on_lost);
  // What was held already is another grant's to renew and to release.
  if (!state_->grant.already_held() && state_->grant.lease_ms() > 0) {
    state_->renewer = std::thread([state = state_, granted_at] { state->keep(granted_at); });
  }
}

HeldLocks::~HeldLocks() {
  try {
    release();
  } catch (const Error&) {
    // Lost before, or nobody answers: the lease ends by itself.
  }
}

const std::string& HeldLocks::grant_id() const { return state_->grant.grant_id(); }
int64_t HeldLocks::fence() const { return state_->grant.fence(); }

bool HeldLocks::lost() const {
  std::lock_guard lock(state_->mutex);
  return state_->lost.has_value();
}

void HeldLocks::release() {
  if (!state_->end()) return;
  if (state_->lost) throw *state_->lost;
  if (state_->grant.already_held()) return;
  v1::ReleaseLocksRequest request;
  request.set_request_id(random_id());
  request.set_session_id(state_->session_id);
  request.set_grant_id(state_->grant.grant_id());
  request.set_fence(state_->grant.fence());
  state_->calls->call(*state_->calls->locks, &Locks::ReleaseLocks, request);
}

}  // namespace buildrunner_parallel
