"""Guards: git hooks that keep a commit from touching what somebody else holds.

`install.py` puts them in and takes them out, `script.py` is what git runs, `changes.py` finds the paths that
a commit touches, `check.py` asks the coordinator and says what it found. Nothing is imported before it is
needed: a hook runs at every commit.
"""
