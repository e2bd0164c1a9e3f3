"""The aws command line, for programs that use it as scripts do."""

import json
import os
import subprocess
import sys

COMMAND = os.path.join(os.path.dirname(sys.executable), "aws")


def run(url, service, action, *options):
    """One `aws SERVICE ACTION`: its JSON answer, {} where it says nothing."""
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_PAGER": "",
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    # Not by AWS_ENDPOINT_URL: version 1 of the command asks the oldest of Amazon's addresses for SQS, whatever that says.
    done = subprocess.run(
        [sys.executable, COMMAND, "--endpoint-url", url, service, action, "--output", "json", *options],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())
    return json.loads(done.stdout) if done.stdout.strip() else {}
