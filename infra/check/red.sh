#!/bin/sh
# Each checker sees what it is there for: templates that are broken in one way each, and what is said of them.
#
# A checker that is called wrongly is green; this is what tells.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
said=$(mktemp)
trap 'rm -f "$said"' EXIT

if sh "$here/../check.sh" infra/check/broken/*.yaml >"$said" 2>&1; then
    echo "red: broken templates are in order, says the check" >&2
    exit 1
fi
while read -r expected; do
    grep -qF -- "$expected" "$said" && continue
    cat "$said" >&2
    echo "red: the check of the broken templates does not say: $expected" >&2
    exit 1
done <<'SAID'
infra/check/broken/suppression.yaml: a suppression for the whole template
infra/check/broken/suppression.yaml: Labelled: checkov CKV_AWS_26 is suppressed without a reason
infra/check/broken/suppression.yaml: Silent: checkov CKV_AWS_26 is suppressed without a reason
infra/check/broken/suppression.yaml: Silent: cfn-lint E3002 is suppressed without a reason
infra/check/broken/suppression.yaml: line 25: a suppression in a comment
E3002 Additional properties are not allowed ('Colour' was unexpected)
infra/check/broken/cloudformation.yaml:8:
Check: CKV_AWS_16:
Check: CKV_AWS_17:
AWS::RDS::DBInstance.Database
check: not in order, says suppressions cfn-lint sam checkov
SAID
echo "red: each checker sees what it is there for"
