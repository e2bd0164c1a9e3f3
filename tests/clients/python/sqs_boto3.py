"""SQS through boto3: all actions and what they refuse. Run twice, with today's boto3 (JSON) and with the last one that speaks Query."""

import sqs_dead_letters  # noqa: F401  (their cases register themselves)
import sqs_fifo  # noqa: F401
import sqs_messages  # noqa: F401
import sqs_queues  # noqa: F401
from sqs_model import everything_of_the_model_was_met
from suite import main

if __name__ == "__main__":
    main(together=12, last=everything_of_the_model_was_met)
