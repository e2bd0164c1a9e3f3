//! Topics whose every consumer may be many: who consumes from the queue `Consumer.NAME.VirtualTopic.T` shares with all who do what
//! is published on the topic `VirtualTopic.T`.

use std::borrow::Cow;

use crate::destinations::activemq::pattern;

/// The pattern of the topic that a queue stands for; none where it is a queue like others.
pub(crate) fn topic_of(queue: &str) -> Option<Cow<'_, str>> {
    let (consumer, topic) = queue.strip_prefix("Consumer.")?.split_once('.')?;
    let is_virtual = !consumer.is_empty() && topic.strip_prefix("VirtualTopic.").is_some_and(|name| !name.is_empty());
    is_virtual.then(|| pattern(topic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_of_a_consumer_stands_for_its_topic() {
        for (queue, topic) in [
            ("Consumer.C.VirtualTopic.T", Some("VirtualTopic.T")),
            ("Consumer.C.VirtualTopic.T.x", Some("VirtualTopic.T.x")),
            ("Consumer.C.VirtualTopic.>", Some("VirtualTopic.#")),
            ("Consumer.C.VirtualTopic.", None),
            ("Consumer..VirtualTopic.T", None),
            ("Consumer.C.Other.T", None),
            ("Consumer.VirtualTopic.T", None),
            ("VirtualTopic.T", None),
        ] {
            assert_eq!(topic_of(queue).as_deref(), topic, "{queue}");
        }
    }
}
