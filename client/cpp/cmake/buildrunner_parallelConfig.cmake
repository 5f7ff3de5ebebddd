# What the targets link with: gRPC and protobuf by pkg-config, as Debian's packages offer them.
include(CMakeFindDependencyMacro)
find_dependency(Threads)
find_dependency(PkgConfig)
pkg_check_modules(GRPC REQUIRED QUIET IMPORTED_TARGET grpc++ protobuf)
include("${CMAKE_CURRENT_LIST_DIR}/buildrunner_parallelTargets.cmake")
