# Stands between a worker and one command: hands signals on to all processes of the command, and kills them when the
# worker closes this script's standard input, or is gone. Standard output begins with a line that has the command's pid.
#   sh guardian.sh ATTEMPT_ID OPTION_OF_ENV PROGRAM ARGUMENT...
attempt=$1
option=$2
shift 2
{
  group=
  while read -r word number; do
    case $word in
      group) group=$number ;;
      *) kill -s "$word" -- "-$group" ;;
    esac
  done
  [ -z "$group" ] || kill -s KILL -- "-$group"
  # What has left the group is known by its environment.
  for round in 1 2 3 4 5; do
    found=$(command -p grep -lzxF "BR_ATTEMPT_ID=$attempt" /proc/[0-9]*/environ)
    [ -n "$found" ] || break
    for file in $found; do
      file=${file#/proc/}
      kill -s KILL "${file%/environ}"
    done
  done
} 2>/dev/null | {
  # A shell has its background jobs ignore the signals of the keyboard; OPTION_OF_ENV undoes that.
  BR_ATTEMPT_ID=$attempt command -p env "$option" setsid /bin/sh -c 'echo $$; exec "$@"' sh "$@" </dev/null &
  # Until it is asked for, the status of a command that has ended can be read from /proc, where (other than here) an
  # exit code of 137 is not the same as SIGKILL.
  read -r never
  wait "$!"
}
