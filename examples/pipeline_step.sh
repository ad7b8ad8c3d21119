#!/usr/bin/env bash
# A step of any CI system: wait for the job, then act on how it ended.
#   ./pipeline_step.sh JOB
set -u

if ! command -v automl-waiter > /dev/null; then
  python3 -m venv .automl-waiter && .automl-waiter/bin/pip install --quiet automl-waiter || exit
  PATH=$PWD/.automl-waiter/bin:$PATH
fi

# Who cancels the step may signal this shell alone: it does not wait in the foreground, where it would hear nothing.
automl-waiter wait "$1" --timeout auto --output json > outcome.json &
trap 'kill -TERM "$!"' INT TERM
wait "$!"
code=$?
wait # after a signal too, until the outcome is written

case $code in
  0) echo "deploy the best candidate of $1" ;;
  10 | 11) echo "$1 gave no model" ;;
  12) echo "$1 completed, but a part that was asked for is missing" ;;
  2 | 14) echo "there is no such job, or the call is wrong" ;;
  *) echo "the wait ended before $1, which may still be running; stderr says how to wait on" ;;
esac
exit $code
