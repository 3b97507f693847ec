#include "host/files/interrupt.h"

#include <unistd.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "host/files/file.h"

namespace reel {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kOneRequest(1);

enum class Guard { kNone, kWaits, kReceived };

std::atomic<Guard> guard = Guard::kNone;
std::atomic<int> received = 0;

[[noreturn]] void end(int signal) {
  AtomicFile::abandon_all();
  ::_exit(128 + signal);
}

/// Whether a signal may end the program at this moment is decided here alone, by the only thread that receives any.
void watch(sigset_t signals) {
  Clock::time_point first;
  for (;;) {
    int signal = 0;
    if (::sigwait(&signals, &signal) != 0) continue;
    Guard found = Guard::kWaits;
    if (guard.compare_exchange_strong(found, Guard::kReceived)) {
      first = Clock::now();
      received = signal;
    } else if (found == Guard::kNone || Clock::now() - first > kOneRequest) {
      end(signal);
    }
  }
}

}  // namespace

void watch_interrupts() {
  sigset_t signals;
  ::sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction before {};
    ::sigaction(signal, nullptr, &before);
    if (before.sa_handler != SIG_IGN) ::sigaddset(&signals, signal);  // nohup; a shell's background jobs
  }
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // and every thread's that this one makes
  std::thread(watch, signals).detach();
}

InterruptGuard::InterruptGuard() {
  received = 0;
  guard = Guard::kWaits;
}

InterruptGuard::~InterruptGuard() {
  Guard waits = Guard::kWaits;
  guard.compare_exchange_strong(waits, Guard::kNone);
}

int InterruptGuard::signal() { return received; }

const std::atomic<int>& InterruptGuard::flag() { return received; }

}  // namespace reel
