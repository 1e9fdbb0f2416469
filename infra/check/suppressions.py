"""Refuses a suppression that does not say why, or that reaches further than its resource.

A checker is told to be quiet where it is wrong about one resource, in that resource's Metadata, with the reason beside it:

    Metadata:
      checkov:
        skip:
          - { id: CKV_AWS_18, comment: why this bucket needs no access log }
      cfn-lint:
        config: { ignore_checks: [W1011] }
        reasons: { W1011: why the parameter may hold it }

Neither tool asks for the reason, and both know other places, which nobody would look at: the template's own Metadata, comments, and files of
configuration.
"""

import pathlib
import re
import sys

import yaml

# Fewer words are a label, not a reason.
WORDS = 4
FILES = [".cfnlintrc", ".cfnlintrc.yaml", ".cfnlintrc.yml", ".checkov.yaml", ".checkov.yml"]
COMMENT = re.compile(r"(checkov:skip|cfn-lint:\s*disable|bridgecrew:skip)", re.IGNORECASE)


class Loader(yaml.SafeLoader):
    """CloudFormation's short forms (!Ref, !Sub) say nothing here, and a date is a text."""


def plain(loader, _suffix, node):
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node)


Loader.add_multi_constructor("!", plain)
Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def is_reason(text):
    return isinstance(text, str) and len(text.split()) >= WORDS


def suppressions(metadata):
    """Each suppression in one Metadata: the checker, the check's id, and the reason or None."""
    for skip in (metadata.get("checkov") or {}).get("skip") or []:
        yield "checkov", skip.get("id"), skip.get("comment")
    lint = metadata.get("cfn-lint") or {}
    for check in (lint.get("config") or {}).get("ignore_checks") or []:
        yield "cfn-lint", check, (lint.get("reasons") or {}).get(check)


def complaints(text):
    """What is wrong with the suppressions of one template."""
    template = yaml.load(text, Loader) or {}
    top = template.get("Metadata") or {}
    if "checkov" in top or "cfn-lint" in top:
        yield "a suppression for the whole template; it belongs into the Metadata of the one resource that it is about"
    for number, line in enumerate(text.splitlines(), 1):
        if COMMENT.search(line):
            yield f"line {number}: a suppression in a comment; it belongs into the Metadata of its resource"
    for name, resource in (template.get("Resources") or {}).items():
        if not isinstance(resource, dict):
            continue
        for checker, check, reason in suppressions(resource.get("Metadata") or {}):
            if not is_reason(reason):
                yield f"{name}: {checker} {check} is suppressed without a reason; say in {WORDS} words or more why it does not hold here"


def main(paths):
    found = [f"{name}: a checker's own configuration, which suppresses out of sight; remove it" for name in FILES if pathlib.Path(name).exists()]
    for path in paths:
        found += [f"{path}: {complaint}" for complaint in complaints(pathlib.Path(path).read_text(encoding="utf-8"))]
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
