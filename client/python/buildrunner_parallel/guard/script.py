"""The text of the hooks. A shell decides whether there is anything to ask; only then Python starts."""

from __future__ import annotations

import hashlib
import re
import shlex

HOOKS = ("pre-commit", "reference-transaction")
KEPT_SUFFIX = ".before-br-guard"
"""Behind the name of a hook that was there before: it is run first, as it always was."""
MARK = "# BuildRunner parallel guard"

# Another code than those with which an interpreter fails that cannot even begin.
REFUSED = 3

_HEAD = """#!/bin/sh
{mark}: installed by `br parallel guard install`, taken out by `br parallel guard remove`.
{seal}
python={python}
strict={strict}
kept="${{0%/*}}/{hook}{suffix}"
"""
_SEAL = re.compile(rb"^# sha256 [0-9a-f]{64}$", re.MULTILINE)
_UNSEALED = "# sha256 " + "0" * 64

# The hook that was there before runs first: it may change what is to be committed.
_PRE_COMMIT = """
if [ -x "$kept" ]; then "$kept" "$@" || exit $?; fi
"""

# Git calls this at every step of every transaction. The dot keeps the line ends that a shell would cut.
# What gives no branch a commit (a branch deleted, a tag, what was fetched) is told apart here already.
_TRANSACTION = """
lines=$(cat; echo .)
lines=${lines%.}
if [ -x "$kept" ]; then printf %s "$lines" 2>/dev/null | "$kept" "$@" || exit $?; fi
[ "$1" = prepared ] || exit 0
case "$lines" in *" refs/heads/"* | *" HEAD"*) ;; *) exit 0 ;; esac
counts=
while read -r old new name; do
  case "$name" in HEAD | refs/heads/*) ;; *) continue ;; esac
  case "$new" in "$old" | ref:*) ;; *[!0]*) counts=1; break ;; esac
done <<END
$lines
END
[ "$counts" ] || exit 0
"""

# The folder that has the state is found as workspace.py finds it, wherever git was called from.
_TAIL = """
task=$BR_ATTEMPT_ID$BR_TASK_ID
if [ -z "$task" ]; then
  common=$(git rev-parse --path-format=absolute --git-common-dir 2>/dev/null) || exit 0
  root=${common%/.git}
  if [ "$root" = "$common" ] && [ "$(git rev-parse --absolute-git-dir)" = "$common" ]; then
    root=$(git rev-parse --show-toplevel 2>/dev/null) || root=$common
  fi
  [ -e "${BR_STATE_DIR:-$root/.buildrunner}/coordinator.json" ] || exit 0
fi
why="$python is gone"
if [ -x "$python" ]; then
  CALL
  case $? in 0) exit 0 ;; REFUSED) exit 1 ;; esac
  why="$python could not run the check"
fi
if [ "$task" ]; then
  echo "br guard: $why, so nobody can tell who holds what: tasks may not commit" >&2
  exit 1
elif [ "$strict" = 1 ]; then
  echo "br guard: $why: the commit is refused; install the guard again, or remove it" >&2
  exit 1
fi
echo "br guard: $why: the commit goes on unguarded; install the guard again, or remove it" >&2
"""


def text(hook: str, python: str, *, strict: bool) -> str:
    """The whole hook, which names the interpreter that it was installed with."""
    call = f'"$python" -P -m buildrunner_parallel.guard {hook} "$strict"'
    if hook == "pre-commit":
        begin = _PRE_COMMIT
    else:
        begin, call = _TRANSACTION, f'printf %s "$lines" | {call}'
    head = _HEAD.format(
        mark=MARK, seal=_UNSEALED, python=shlex.quote(python), strict=int(strict), hook=hook,
        suffix=KEPT_SUFFIX,
    )  # fmt: skip
    whole = head + begin + _TAIL.replace("CALL", call).replace("REFUSED", str(REFUSED))
    return whole.replace(_UNSEALED, _seal_of(whole.encode()), 1)


def is_ours(content: bytes) -> bool:
    return MARK.encode() in content[:400]


def is_whole(content: bytes) -> bool:
    """Nobody has changed it since it was written, by whichever version of this program."""
    found = _SEAL.search(content)
    if found is None:
        return False
    unsealed = content[: found.start()] + _UNSEALED.encode() + content[found.end() :]
    return found.group().decode() == _seal_of(unsealed)


def is_strict(content: bytes) -> bool:
    return b"\nstrict=1\n" in content


def _seal_of(unsealed: bytes) -> str:
    return f"# sha256 {hashlib.sha256(unsealed).hexdigest()}"
