// The worker under test of tests/conformance: commands and the handlers named there.
#include "buildrunner_parallel/worker.h"

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

namespace br = buildrunner_parallel;
using nlohmann::json;
using std::chrono::milliseconds;

namespace {

br::v1::Payload echo(br::TaskContext& task) { return task.assignment().spec().handler().payload(); }

br::v1::Payload busy(br::TaskContext& task) {
  const int64_t ms = json::parse(task.payload()).at("ms");
  const auto until = std::chrono::steady_clock::now() + milliseconds(ms);
  volatile uint64_t sum = 0;
  while (std::chrono::steady_clock::now() < until) sum = sum + 1;
  return br::json_result(json{{"ms", ms}}.dump());
}

br::v1::Payload wait(br::TaskContext& task) {
  const int64_t ms = json::parse(task.payload()).at("ms");
  task.sleep_for(milliseconds(ms));
  return br::json_result(json{{"ms", ms}}.dump());
}

br::v1::Payload progress(br::TaskContext& task) {
  const int steps = json::parse(task.payload()).at("steps");
  for (int step = 1; step <= steps; ++step) {
    task.progress(100.0 * step / steps, "step " + std::to_string(step));
    task.sleep_for(milliseconds(50));
  }
  return br::json_result(json{{"steps", steps}}.dump());
}

br::v1::Payload fail(br::TaskContext& task) {
  throw std::runtime_error(json::parse(task.payload()).at("message").get<std::string>());
}

br::WorkerOptions options_from(int argc, char** argv) {
  br::WorkerOptions options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    if (name == "--slots") {
      options.slots = std::stoi(argv[i + 1]);
    } else if (name == "--label") {
      options.labels.emplace_back(argv[i + 1]);
    } else if (name == "--session") {
      options.session_id = argv[i + 1];
    } else {
      throw std::invalid_argument("there is no option " + name +
                                  "; known are --slots, --label and --session");
    }
  }
  options.handlers = {{"conformance.echo", echo},
                      {"conformance.busy", busy},
                      {"conformance.wait", wait},
                      {"conformance.progress", progress},
                      {"conformance.fail", fail}};
  return options;
}

}  // namespace

int main(int argc, char** argv) try {
  br::serve(br::locate(), options_from(argc, argv));
} catch (const std::exception& error) {
  std::cerr << "worker: " << error.what() << "\n";
  return 1;
}
