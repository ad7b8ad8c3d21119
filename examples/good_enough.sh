#!/usr/bin/env bash
# Stops a job as soon as its best candidate is good enough, and says which one that is.
#   ./good_enough.sh JOB VALUE        for an error, which is better when it is smaller: ./good_enough.sh JOB VALUE '<'
set -u

good_enough="BestCandidate.FinalAutoMLJobObjectiveMetric.Value ${3:->} \`$2\`"
automl-waiter wait "$1" --until "$good_enough" --stop-on until --output json > outcome.json
code=$?

case $code in
  0) python3 -c 'import json; best = json.load(open("outcome.json"))["jobs"][0]["best_candidate"]
print("good enough:", best["name"], best["metric"], best["value"])' ;;
  15) echo "$1 completed, and no candidate was good enough" ;;
  *) echo "stderr says what happened to $1" ;;
esac
exit $code
