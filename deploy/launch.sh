#!/usr/bin/env bash
# Start a job by hand as the schedule would, but with other parameters.
#
#   deploy/launch.sh hdnet-retry retry_failed=2026-11-20T01-00-00Z
#
# The first word names the job; two jobs of one name cannot run at once. It needs terraform (after its apply), curl,
# python3, and gcloud logged in as someone who may launch Dataflow jobs and act as the worker account.
set -euo pipefail
cd "$(dirname "$0")/terraform"
(($#)) || { echo "usage: deploy/launch.sh JOB [PARAMETER=VALUE]..." >&2; exit 2; }
for word in "${@:2}"; do
    [[ $word == ?*=* ]] || { echo "deploy/launch.sh: '$word' is not PARAMETER=VALUE" >&2; exit 2; }
done

body=$(terraform output -json launch | python3 -c '
import json, sys
body = json.load(sys.stdin)
launch = body["launchParameter"]
launch["jobName"] = sys.argv[1]
launch["parameters"].update(each.split("=", 1) for each in sys.argv[2:])
print(json.dumps(body))
' "$@")
curl --fail-with-body --silent --show-error --data "$body" --header "Content-Type: application/json" \
    --header "Authorization: Bearer $(gcloud auth print-access-token)" "$(terraform output -raw launch_url)"
