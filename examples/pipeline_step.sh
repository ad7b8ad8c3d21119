#!/usr/bin/env bash
# A step of any CI system: wait for a job, then act on how it ended.
#   AUTOML_WAITER_SOURCE=./automl-waiter ./pipeline_step.sh JOB
# AUTOML_WAITER_SOURCE is what pip installs, such as the path of a clone or the URL of a wheel.
set -u

if ! command -v automl-waiter > /dev/null; then
  if [ -z "${AUTOML_WAITER_SOURCE:-}" ]; then
    echo "automl-waiter is not installed: set AUTOML_WAITER_SOURCE to the path of a clone or the URL of a wheel" >&2
    exit 2
  fi
  python3 -m venv .automl-waiter && .automl-waiter/bin/pip install --quiet -- "$AUTOML_WAITER_SOURCE" || exit
  PATH=$PWD/.automl-waiter/bin:$PATH
fi

# A cancelled step may signal this shell alone, which would not see it while it waits for a command in the foreground.
automl-waiter wait "$1" --timeout auto --output json > outcome.json &
trap 'kill -TERM "$!"' INT TERM
wait "$!"
code=$?
wait # after a signal too, until the outcome is written

case $code in
  0) echo "deploy the best candidate of $1" ;;
  10 | 11) echo "$1 has no model" ;;
  12) echo "$1 completed, but a required part is missing" ;;
  2 | 14) echo "the job does not exist, or the command is wrong" ;;
  *) echo "the wait ended before $1, which may still be running; stderr has the command that resumes the wait" ;;
esac
exit $code
