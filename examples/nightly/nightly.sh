#!/bin/sh
# nightly.sh: for cron and CI. Exit code 0: all well, 6: something failed, 124: not over in time.
session=$(br parallel start --plan plan.yaml --quiet) || exit
br parallel wait "$session" --timeout 2h
code=$?
[ $code -ne 124 ] || br parallel cancel "$session" --force
mkdir -p reports
br parallel joblog "$session" >reports/joblog.tsv
br parallel tasks "$session" --json | python3 report.py >reports/nightly.md
br parallel cleanup --days 30 -y --quiet
exit $code
