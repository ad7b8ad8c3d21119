#!/usr/bin/env bash
# Stop a job as soon as a candidate is good enough, and print that candidate.
#   ./good_enough.sh JOB VALUE
set -u

automl-waiter wait "$1" --good-enough "$2" --output json > outcome.json
code=$?

case $code in
  0) python3 -c 'import json; best = json.load(open("outcome.json"))["jobs"][0]["best_candidate"]
print("good enough:", best["name"], best["metric"], best["value"])' ;;
  15) echo "$1 completed without a candidate that is good enough" ;;
  *) echo "see stderr for what happened to $1" ;;
esac
exit $code
