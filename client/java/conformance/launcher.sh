#!/bin/sh
# Starts the @NAME@ under test of tests/conformance; `make build` puts it into target/. It starts sooner so.
here=$(dirname "$0")
exec java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto -Dfile.encoding=UTF-8 -Dsun.jnu.encoding=UTF-8 \
  -cp "$here/classes:$here/test-classes:$here/lib/*" dev.buildrunner.parallel.conformance.Conformance@NAME@ "$@"
