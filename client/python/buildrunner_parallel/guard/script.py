"""The text of the hooks. A shell decides whether there is anything to ask; only then Python starts."""

from __future__ import annotations

import shlex

HOOKS = ("pre-commit", "reference-transaction")
KEPT_SUFFIX = ".before-br-guard"
"""Behind the name of a hook that was there before: it is run first, as it always was."""
MARK = "# BuildRunner parallel guard, version 1"

_HEAD = """#!/bin/sh
{mark}: installed by `br parallel guard install`, taken out by `br parallel guard remove`.
python={python}
strict={strict}
kept="$0{suffix}"
"""

# The hook that was there before runs first: it may change what is to be committed.
_PRE_COMMIT = """
if [ -x "$kept" ]; then "$kept" "$@" || exit $?; fi
"""

# Git waits for every word on standard input to be read, and calls this at every step of every transaction.
_TRANSACTION = """
lines=$(cat)
if [ -x "$kept" ]; then printf '%s\\n' "$lines" | "$kept" "$@" || exit $?; fi
[ "$1" = prepared ] || exit 0
case "$lines" in *" refs/heads/"* | *" HEAD"*) ;; *) exit 0 ;; esac
"""

_TAIL = """
refuse() {{ echo "br guard: $1" >&2; exit 1; }}
if [ -z "$BR_ATTEMPT_ID$BR_TASK_ID" ]; then
  common=$(git rev-parse --path-format=absolute --git-common-dir 2>/dev/null) || exit 0
  [ -e "${{BR_STATE_DIR:-${{common%/.git}}/.buildrunner}}/coordinator.json" ] || exit 0
  if [ ! -x "$python" ]; then
    [ "$strict" = 0 ] || refuse "$python is gone, so nobody can tell who holds what; install the guard again"
    echo "br guard: $python is gone; install the guard again, or remove it" >&2
    exit 0
  fi
elif [ ! -x "$python" ]; then
  refuse "$python is gone, so nobody can tell who holds what: tasks may not commit"
fi
{feed}"$python" -P -m buildrunner_parallel.guard {hook} "$strict"
"""


def text(hook: str, python: str, *, strict: bool) -> str:
    """The whole hook, which names the interpreter that it was installed with."""
    head = _HEAD.format(mark=MARK, python=shlex.quote(python), strict=int(strict), suffix=KEPT_SUFFIX)
    if hook == "pre-commit":
        return (
            head
            + _PRE_COMMIT
            + _TAIL.format(feed="exec </dev/null ", hook=hook).replace(
                'exec </dev/null "$python"', 'exec "$python"'
            )
        )
    return head + _TRANSACTION + _TAIL.format(feed="printf '%s\\n' \"$lines\" | ", hook=hook)


def is_ours(content: bytes) -> bool:
    return MARK.encode() in content[:400]


def is_strict(content: bytes) -> bool:
    return b"\nstrict=1\n" in content
