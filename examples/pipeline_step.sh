#!/usr/bin/env bash
# A step of any CI system: wait for the job, then act on how it ended.
#   ./pipeline_step.sh JOB
set -u

automl-waiter wait "$1" --timeout auto --output json > outcome.json
code=$?

case $code in
  0) echo "deploy the best candidate of $1" ;;
  12) echo "$1 completed, but a part that was asked for is missing" ;;
  124) echo "$1 is not done yet; the job goes on" ;;
  *) echo "$1 gave no model" ;;
esac
exit $code
