#!/usr/bin/env bash
# Build the image, push it, and write the Flex Template that refers to it.
#
#   PROJECT=my-project REGION=europe-west4 BUCKET=my-project-hdnet-jobs deploy/build.sh        # workers without a GPU
#   TARGET=gpu PROJECT=... REGION=... BUCKET=... deploy/build.sh
#
# TAG names the build (default: the commit). The template is gs://BUCKET/templates/hdnet-TARGET-TAG.json, so that older
# ones remain for rolling back. REPOSITORY is one of Artifact Registry (default: hdnet). docker and gcloud must be logged in.
set -euo pipefail
cd "$(dirname "$0")/.."

: "${PROJECT:?the Google Cloud project}" "${REGION:?of the repository and the jobs}" "${BUCKET:?for templates, no gs://}"
TARGET=${TARGET:-cpu}
REPOSITORY=${REPOSITORY:-hdnet}
if [[ -z ${TAG:-} ]]; then
    sources=(deploy/{Dockerfile,flex_template.py,template.json} {hdnet,model,pipeline,transforms} pyproject.toml requirements.lock)
    if [[ -n $(git status --porcelain -- "${sources[@]}") ]]; then
        echo "the image would hold uncommitted changes: commit them, or name the build with TAG=" >&2
        exit 2
    fi
    TAG=$(git rev-parse --short=12 HEAD)
fi
IMAGE="$REGION-docker.pkg.dev/$PROJECT/$REPOSITORY/hdnet-$TARGET:$TAG"
TEMPLATE="gs://$BUCKET/templates/hdnet-$TARGET-$TAG.json"

docker build --platform linux/amd64 --file deploy/Dockerfile --target "$TARGET" --tag "$IMAGE" .

# The smallest proof that the image works: one image of the example catalog, as the unprivileged user.
docker run --rm --user hdnet --workdir /tmp --entrypoint hdnet-harmonize \
    --volume "$PWD/examples/catalog:/examples:ro" "$IMAGE" --input /examples/manifest.csv --output /tmp/out --limit 1

docker push "$IMAGE"

# A launch names the image again for the workers (sdkContainerImage), which would start Beam's own otherwise.
gcloud dataflow flex-template build "$TEMPLATE" --project "$PROJECT" --image "$IMAGE" --sdk-language PYTHON \
    --metadata-file deploy/template.json

cat <<END

image     $IMAGE
template  $TEMPLATE

For the nightly run, in deploy/terraform/terraform.tfvars, then terraform apply:
image    = "$IMAGE"
template = "$TEMPLATE"
END
