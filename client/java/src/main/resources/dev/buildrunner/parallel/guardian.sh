# Stands between a worker and one command: hands signals on to all processes of the command, and kills them when the
# worker closes this script's standard input, or is gone. Standard output begins with a line that has the command's pid.
# MARK is a number of KiB that no other attempt has, and no machine either: all that descends from the command has it as
# its soft limit of resident memory, which Linux does not enforce, whatever becomes of its group and environment.
#   sh guardian.sh ATTEMPT_ID MARK OPTION_OF_ENV PROGRAM ARGUMENT...
attempt=$1
mark=$2
option=$3
shift 3
# Of a worker that is itself part of a command: who guards must not be killed with what that leaves behind.
ulimit -S -m "$(ulimit -H -m)" 2>/dev/null
{
  group=
  while read -r word number; do
    case $word in
      group) group=$number ;;
      *) kill -s "$word" -- "-$group" ;;
    esac
  done
  [ -z "$group" ] || kill -s KILL -- "-$group"
  # What has left the group is known by its mark, and where the machine's limits forbid that by its environment.
  for round in 1 2 3 4 5; do
    left=
    for file in $(command -p grep -lzxF "BR_ATTEMPT_ID=$attempt" /proc/[0-9]*/environ;
        command -p grep -l "^Max resident set  *$((mark * 1024)) " /proc/[0-9]*/limits); do
      pid=${file#/proc/}
      pid=${pid%/*}
      # The dead stay as they are until somebody asks for their status.
      command -p grep -q "^State:[[:space:]]*[ZX]" "/proc/$pid/status" || {
        left=1
        kill -s KILL "$pid"
      }
    done
    [ -n "$left" ] || break
  done
} 2>/dev/null | {
  # A shell has its background jobs ignore the signals of the keyboard; OPTION_OF_ENV undoes that.
  BR_ATTEMPT_ID=$attempt command -p env "$option" setsid /bin/sh -c '
    ulimit -S -m "$0" 2>/dev/null
    echo $$
    exec "$@"' "$mark" "$@" </dev/null &
  # Until it is asked for, the status of a command that has ended can be read from /proc, where (other than here) an
  # exit code of 137 is not the same as SIGKILL.
  read -r never
  wait "$!"
}
