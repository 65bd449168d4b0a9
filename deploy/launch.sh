#!/usr/bin/env bash
# Start a job by hand as the schedule would, but with other parameters, and print where to watch it.
#
#   deploy/launch.sh hdnet-retry retry_failed=2026-11-20T01-00-00Z
#
# The first word names the job; two jobs of one name cannot run at once. It needs terraform (after its apply), curl,
# python3, and gcloud logged in as someone who may launch Dataflow jobs and act as the worker account.
set -euo pipefail
cd "$(dirname "$0")/terraform"

fail() { echo "deploy/launch.sh: $1" >&2; exit "${2:-1}"; }

(($#)) || { echo "usage: deploy/launch.sh JOB [PARAMETER=VALUE]..." >&2; exit 2; }
for word in "${@:2}"; do
    [[ $word == ?*=* ]] || fail "'$word' is not PARAMETER=VALUE" 2
done
for program in terraform gcloud curl python3; do
    command -v "$program" > /dev/null || fail "$program is not installed"
done

launch=$(terraform output -json launch) && url=$(terraform output -raw launch_url) ||
    fail "Terraform has no outputs yet: run terraform apply in deploy/terraform (First deployment in deploy/README.md)"
body=$(python3 -c '
import json, sys
body = json.loads(sys.argv[1])
launch = body["launchParameter"]
if not launch.get("containerSpecGcsPath"):
    sys.exit(1)
launch["jobName"] = sys.argv[2]
launch["parameters"].update(each.split("=", 1) for each in sys.argv[3:])
print(json.dumps(body))
' "$launch" "$@") || fail "no template yet: put what deploy/build.sh prints into terraform.tfvars and apply it"
token=$(gcloud auth print-access-token) || fail "not logged in: run gcloud auth login"

answer=$(curl --fail-with-body --silent --show-error --data "$body" --header "Content-Type: application/json" \
    --header "Authorization: Bearer $token" "$url") || fail "Dataflow did not start the job: $answer"
python3 -c '
import json, sys
job = json.loads(sys.argv[1])["job"]
print("started {name}, {id}".format(**job))
print("https://console.cloud.google.com/dataflow/jobs/{location}/{id}?project={projectId}".format(**job))
' "$answer"
