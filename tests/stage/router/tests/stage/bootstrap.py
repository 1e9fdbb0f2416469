#!/usr/bin/env python3
"""A Lambda bootstrap for tests: appends each event to a file, and does the four steps of a rotation with its own credentials."""
import json
import os
import urllib.error
import urllib.request

RUNTIME = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/invocation/"


def secrets(operation, body):
    scope = f'{os.environ["AWS_ACCESS_KEY_ID"]}/20260101/{os.environ["AWS_REGION"]}/secretsmanager/aws4_request'
    request = urllib.request.Request(os.environ["AWS_ENDPOINT_URL"], json.dumps(body).encode(), {
        "X-Amz-Target": "secretsmanager." + operation,
        "Content-Type": "application/x-amz-json-1.1",
        "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0",
    })
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def rotate(event):
    step, secret, token = event["Step"], event["SecretId"], event["ClientRequestToken"]
    if step == os.environ.get("FAIL_STEP"):
        raise RuntimeError("told to fail")
    if step == "createSecret":
        secrets("PutSecretValue", {"SecretId": secret, "ClientRequestToken": token, "SecretString": "new-" + token,
                                   "VersionStages": ["AWSPENDING"]})
    elif step == "finishSecret":
        versions = secrets("DescribeSecret", {"SecretId": secret})["VersionIdsToStages"]
        current = next(version for version, stages in versions.items() if "AWSCURRENT" in stages)
        secrets("UpdateSecretVersionStage", {"SecretId": secret, "VersionStage": "AWSCURRENT",
                                             "MoveToVersionId": token, "RemoveFromVersionId": current})


while True:
    with urllib.request.urlopen(RUNTIME + "next") as answer:
        invocation = answer.headers["Lambda-Runtime-Aws-Request-Id"]
        event = json.load(answer)
    with open(os.environ["RECORD"], "a", encoding="utf-8") as record:
        record.write(json.dumps(event) + "\n")
    try:
        if "Step" in event:
            rotate(event)
        outcome, body = "response", {"key": os.environ["AWS_ACCESS_KEY_ID"]}
    except Exception as error:  # the runtime reports whatever happened
        outcome, body = "error", {"errorType": type(error).__name__, "errorMessage": str(error)}
    urllib.request.urlopen(urllib.request.Request(RUNTIME + invocation + "/" + outcome, json.dumps(body).encode())).close()
