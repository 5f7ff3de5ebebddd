// Where a task runs, and what it finds in its environment.
#pragma once

#include <map>
#include <string>

#include "buildrunner_parallel/v1/worker_service.pb.h"

namespace buildrunner_parallel {

std::string directory_of(const v1::WorkingDirectory& directory);

// Of this process.
std::map<std::string, std::string> own_environment();

// What a command finds: what is allowed of `own`, what its specification passes and sets, and who it is.
std::map<std::string, std::string> task_environment(const std::map<std::string, std::string>& own,
                                                    const v1::Assignment& assignment,
                                                    const std::map<std::string, std::string>& identity);

}  // namespace buildrunner_parallel
