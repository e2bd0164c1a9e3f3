use bytes::Bytes;

use super::*;

fn rabbitmq(text: &str) -> Result<Destination<'_>, DestinationError> {
    Destination::parse(Dialect::RabbitMq, text)
}

fn activemq(text: &str) -> Result<Destination<'_>, DestinationError> {
    Destination::parse(Dialect::ActiveMq, text)
}

fn exchange<'a>(exchange: &'a str, key: Option<&'a str>) -> Destination<'a> {
    Destination::Exchange { exchange: exchange.into(), key: key.map(Into::into) }
}

#[test]
fn destinations_of_rabbitmq_are_read_as_its_plugin_does() {
    use Destination::*;
    for (text, expected) in [
        ("/queue/a b", Queue("a b".into())),
        ("bare", Queue("bare".into())),
        ("/queue/a%2Fb", Queue("a/b".into())),
        ("/queue/a%2fb", Queue("a%2fb".into())),
        ("/queue/a%zz%25", Queue("a%zz%25".into())),
        ("/queue/a,b", Queue("a,b".into())),
        ("/queue/queue:", Queue("queue:".into())),
        ("/topic/a.*.#", Topic("a.*.#".into())),
        ("/amq/queue/q", AmqQueue("q".into())),
        ("/temp-queue/t", TempQueue("t".into())),
        ("/reply-queue/amq.gen-x", ReplyQueue("amq.gen-x".into())),
        ("/reply-queue/a/b", ReplyQueue("a/b".into())),
        ("/exchange/x", exchange("x", None)),
        ("/exchange/x/", exchange("x", Some(""))),
        ("/exchange/x%2Fy/a%2Fb", exchange("x/y", Some("a/b"))),
    ] {
        assert_eq!(rabbitmq(text), Ok(expected), "{text}");
    }
}

#[test]
fn what_rabbitmqs_plugin_refuses_is_refused() {
    for (text, kind, rest) in [
        ("/queue", "queue", ""),
        ("/queue/", "queue", "/"),
        ("/queue/a/b", "queue", "/a/b"),
        ("/topic", "topic", ""),
        ("/topic/a/b", "topic", "/a/b"),
        ("/amq/queue", "amqqueue", ""),
        ("/amq/queue/", "amqqueue", "/"),
        ("/temp-queue", "temp_queue", ""),
        ("/reply-queue/", "reply_queue", "/"),
        ("/exchange", "exchange", ""),
        ("/exchange/", "exchange", "/"),
        ("/exchange//k", "exchange", "//k"),
        ("/exchange/x/k/l", "exchange", "/x/k/l"),
    ] {
        assert_eq!(rabbitmq(text), Err(DestinationError::Invalid { kind, rest: rest.to_owned() }), "{text}");
    }
    for text in
        ["/", "//", "/foo/x", "foo/bar", "/amq/x", "/amq", "/reply-queue", "queue://a", "/temp-topic/x", "/queues/a"]
    {
        assert_eq!(rabbitmq(text), Err(DestinationError::Unknown(text.to_owned())), "{text}");
    }
    assert_eq!(rabbitmq(""), Err(DestinationError::Blank));
    let long = format!("/{}", "é".repeat(1000));
    let Err(DestinationError::Unknown(shown)) = rabbitmq(&long) else { panic!("{long} was taken") };
    assert!(shown.len() <= SHOWN_BYTES_MAX);
}

#[test]
fn destinations_of_activemq_are_read_in_both_spellings() {
    use Destination::*;
    for (text, expected) in [
        ("/queue/a.b", Queue("a.b".into())),
        ("queue://a.b", Queue("a.b".into())),
        ("/queue/a/b%2F", Queue("a/b%2F".into())),
        ("/queue/ a ", Queue("a".into())),
        ("/queue/q?consumer.prefetchSize=1", Queue("q".into())),
        ("bare", Queue("bare".into())),
        ("/foo/x", Queue("/foo/x".into())),
        ("/topic/A.*.>", Topic("A.*.#".into())),
        ("topic://>", Topic("#".into())),
        ("/topic/A.b>", Topic("A.b>".into())),
        ("temp-queue://x", TempQueue("x".into())),
        ("/temp-topic/x", TempTopic("x".into())),
        ("/remote-temp-queue/ID:1", ReplyQueue("ID:1".into())),
        ("remote-temp-topic://ID:1", ReplyTopic("ID:1".into())),
        ("/queue/a,b", Composite(vec![Queue("a".into()), Queue("b".into())])),
        ("/topic/a, b", Composite(vec![Topic("a".into()), Topic("b".into())])),
        (
            "queue://a,topic://b.>,/queue/c,d",
            Composite(vec![Queue("a".into()), Topic("b.#".into()), Queue("c".into()), Queue("d".into())]),
        ),
        ("/queue/a,", Queue("a".into())),
    ] {
        assert_eq!(activemq(text), Ok(expected), "{text}");
    }
    let parts = |count: usize| vec!["/queue/a"; count].join(",");
    assert!(
        matches!(activemq(&parts(activemq::PARTS_MAX)), Ok(Composite(parts)) if parts.len() == activemq::PARTS_MAX)
    );
    let too_many = activemq::PARTS_MAX + 1;
    assert_eq!(activemq(&parts(too_many)), Err(DestinationError::TooManyParts(activemq::PARTS_MAX)));
    for text in ["/queue/", "topic://", "/queue/ ", "/queue/a,/topic/", "/queue/?x"] {
        assert!(matches!(activemq(text), Err(DestinationError::Invalid { .. })), "{text}");
    }
    assert_eq!(activemq(","), Err(DestinationError::Blank));
}

#[test]
fn a_message_says_where_it_was_published() {
    for (exchange, key, rabbitmq, activemq) in [
        ("", "q", "/queue/q", "/queue/q"),
        ("", "a/b%\u{e9}\n", "/queue/a%2Fb%25%C3%A9%0A", "/queue/a/b%\u{e9}\n"),
        ("amq.topic", "a.b", "/topic/a.b", "/topic/a.b"),
        ("x/y", "", "/exchange/x%2Fy", "/exchange/x/y"),
        ("x", "k", "/exchange/x/k", "/exchange/x/k"),
    ] {
        let address = Address { exchange: exchange.into(), routing_key: Bytes::copy_from_slice(key.as_bytes()) };
        for (dialect, expected) in [(Dialect::RabbitMq, rabbitmq), (Dialect::ActiveMq, activemq)] {
            let mut text = Text::new();
            of_message(dialect, &address, &mut text);
            assert_eq!(str::from_utf8(&text), Ok(expected));
        }
    }
}

#[test]
fn durable_subscriptions_have_the_queues_that_rabbitmq_gives_them() {
    for (key, subscription, queue) in [
        ("dur", "d1", "stomp-subscription-Yavmf7wdLKke0KsNpyLsBQ"),
        ("du2", "d:2", "stomp-subscription-bev60PQ8HEcQFcbCkuCiSQ"),
        ("du2", "d3", "stomp-subscription-dBdVSi_4GXMcnQeRYAjOAw"),
        ("", "C", "stomp-subscription-k8_snEiyq0uZr3QQ1nRM9w"),
    ] {
        assert_eq!(rabbitmq::durable_queue(key, subscription), queue);
    }
}
