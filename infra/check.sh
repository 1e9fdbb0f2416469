#!/bin/sh
# Every template below infra/ through every checker; `check.sh FILE...` checks those files alone.
#
#   suppressions.py   a suppression stands beside its resource and says why
#   cfn-lint          what CloudFormation would refuse while deploying, and types and properties against its schemas
#   sam validate      what SAM's transform makes of it
#   checkov           what should not be deployed though it can be
#
# All of them run offline and without an account: SAM's home is a folder of its own, so that neither a person's profile nor a forgotten
# ~/.cfnlintrc has a say. Every checker runs, and the end tells which of them complained.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
venv=${RELIGHT_VENV:-$root/target/venv}
sam=$venv-sam/bin
policy=$venv-policy/bin
[ -x "$sam/sam" ] && [ -x "$policy/checkov" ] || { echo "check: the checkers are not installed; run make checkers" >&2; exit 1; }

export HOME="$root/target/checkers" SAM_CLI_TELEMETRY=0 AWS_EC2_METADATA_DISABLED=true AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null
unset AWS_PROFILE AWS_REGION AWS_DEFAULT_REGION CFN_LINT_CONFIG BC_API_KEY || true
mkdir -p "$HOME"
cd "$root"

# A template is told by what it says, so that one more needs no entry in any list.
[ $# -gt 0 ] || set -- $(find infra -path infra/check -prune -o -type f \( -name '*.y*ml' -o -name '*.json' -o -name '*.template' \) -print |
    sort | xargs grep -lE '^ *"?(AWSTemplateFormatVersion|Transform|Resources)"?:')
[ $# -gt 0 ] || { echo "check: there is no template below infra/" >&2; exit 1; }

complained=
judge() {
    name=$1
    shift
    "$@" || complained="$complained $name"
}

judge suppressions "$sam/python" infra/check/suppressions.py "$@"
judge cfn-lint "$sam/cfn-lint" "$@"
for template in "$@"; do
    grep -q 'AWS::Serverless-2016-10-31' "$template" || continue
    judge "sam" "$sam/sam" validate --lint --region us-west-2 --template "$template"
done
judge checkov "$policy/checkov" --framework cloudformation --skip-download --quiet --compact --file "$@"

if [ -n "$complained" ]; then
    echo "check: not in order, says$complained" >&2
    exit 1
fi
echo "check: $# template(s) in order: $*"
