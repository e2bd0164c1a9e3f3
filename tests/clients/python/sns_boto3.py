"""SNS through boto3: all actions, what they refuse, and what comes to queues and webhooks."""

import sns_fifo  # noqa: F401  (their cases register themselves)
import sns_filters  # noqa: F401
import sns_phones  # noqa: F401
import sns_publish  # noqa: F401
import sns_subscriptions  # noqa: F401
import sns_topics  # noqa: F401
import sns_webhooks  # noqa: F401
from sns_model import everything_of_the_model_was_met
from suite import main

if __name__ == "__main__":
    main(together=12, last=everything_of_the_model_was_met)
