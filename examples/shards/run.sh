#!/bin/sh
# run.sh: all shards, one report however they ended, and their exit code.
python3 shards.py split 4
br parallel start --plan plan.yaml --wait
code=$?
python3 shards.py join
exit $code
