// The first program of the README.
#include <iostream>

#include "buildrunner_parallel/client.h"

namespace br = buildrunner_parallel;

int main() try {
  auto client = br::Client::connect();
  const std::string session = client.create_session("From C++").session_id();
  client.submit(session, {br::command("hello", {"echo", "hello from a worker"})});
  client.start_session(session);
  client.close_session(session);
  client.wait_session(session);
  std::cout << client.read_output(session, "hello").out;
} catch (const br::Error& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
