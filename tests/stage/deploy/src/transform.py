"""SAM in, CloudFormation out: the transform that AWS runs, without its network.

Called with the template's path and a JSON object of parameter values; writes the transformed template as JSON. The
managed policies that SAM may attach are looked up in IAM by AWS; here they follow from their names.
"""

import json
import sys
from pathlib import PurePosixPath

from samtranslator.model.exceptions import InvalidDocumentException
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse


class ManagedPolicies:
    def load(self):
        names = ["AWSLambdaBasicExecutionRole", "AWSLambdaVPCAccessExecutionRole", "AWSLambdaSQSQueueExecutionRole"]
        return {name: f"arn:aws:iam::aws:policy/service-role/{name}" for name in names}


def main():
    path, parameters = sys.argv[1], json.loads(sys.argv[2])
    with open(path, encoding="utf-8") as file:
        template = yaml_parse(file.read())
    if "Transform" not in template:
        json.dump(template, sys.stdout)
        return
    # The transform takes code in S3 only, where packaging would have put it. The key tells the deployer whose code it is.
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            folder = PurePosixPath(resource["Properties"]["CodeUri"])
            resource["Properties"]["CodeUri"] = {"Bucket": "code", "Key": folder.name}
    try:
        json.dump(transform(template, parameters, ManagedPolicies()), sys.stdout)
    except InvalidDocumentException as error:
        sys.exit("; ".join(cause.message for cause in error.causes))


main()
