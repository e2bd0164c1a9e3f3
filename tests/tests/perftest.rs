//! RabbitMQ's PerfTest, unmodified. Every run is bounded by message counts, and as many come out as went in.

use gantry_tests::broker::Broker;
use gantry_tests::client;
use gantry_tests::wire::{Method, Wire};
use gantry_tests::{unique, wait_until};

/// Runs PerfTest with these options against a broker of its own and returns what it printed.
fn perf_test(options: &str) -> String {
    perf_test_on(&Broker::start(), options)
}

fn perf_test_on(broker: &Broker, options: &str) -> String {
    let mut command = client::perf_test();
    command.args(["--uri", &broker.url()]).args(options.split_whitespace());
    client::run_plain(command)
}

/// Both sides must have ended because they reached their limit, and not because of an error.
#[track_caller]
fn assert_complete(output: &str) {
    assert!(output.contains("test stopped ("), "{output}");
    assert!(output.contains("Producer reached message limit"), "{output}");
    assert!(output.contains("Consumer reached message limit"), "{output}");
}

#[test]
fn confirms() {
    assert_complete(&perf_test("--queue confirms --confirm 500 --pmessages 20000 --cmessages 20000"));
}

#[test]
fn persistent_with_confirms() {
    assert_complete(&perf_test(
        "--queue persistent --queue-args x-message-ttl=600000 --auto-delete false --flag persistent --size 1024 \
         --confirm 200 --qos 100 --pmessages 10000 --cmessages 10000",
    ));
}

#[test]
fn many_queues() {
    assert_complete(&perf_test(
        "--queue-pattern q-%d --queue-pattern-from 1 --queue-pattern-to 50 --producers 50 --consumers 50 \
         --producer-channel-count 2 --pmessages 200 --cmessages 400",
    ));
}

#[test]
fn many_consumers_with_multiple_acks() {
    let broker = Broker::start();
    let queue = unique("many-consumers");
    let output = perf_test_on(
        &broker,
        &format!(
            "--queue {queue} --auto-delete false --producers 2 --consumers 10 --qos 50 --multi-ack-every 10 \
             --flag persistent --confirm 100 --pmessages 10000 --cmessages 1500"
        ),
    );
    assert_complete(&output);
    // Each consumer has acknowledged what it was to take; everything else, which some of them held too, is there again.
    let mut wire = Wire::open(broker.address()).expect("login");
    wire.open_channel(1).expect("channel");
    let left = 2 * 10_000 - 10 * 1_500;
    wait_until("the rest is back", || wire.declare(1, &queue, 1).expect("declared").1 == left);
    wire.call(1, &Method::new(50, 40).short(0).shortstr(&queue).octet(0), (50, 41)).expect("deleted");
}

#[test]
fn rate_limit() {
    let started = std::time::Instant::now();
    assert_complete(&perf_test("--queue rate --rate 1000 --pmessages 3000 --cmessages 3000 --autoack"));
    assert!(started.elapsed().as_secs() >= 2, "3000 messages at 1000 a second take three seconds");
}

#[test]
fn fanout_with_automatic_acknowledgement() {
    assert_complete(&perf_test(
        "--type fanout --exchange fan --producers 1 --consumers 5 --autoack --size 64 --confirm 50 --pmessages 5000 \
         --cmessages 5000",
    ));
}

#[test]
fn transactions() {
    assert_complete(&perf_test(
        "--queue transactions --ptxsize 10 --ctxsize 10 --flag persistent --pmessages 2000 --cmessages 2000",
    ));
}

#[test]
fn polling_with_basic_get() {
    assert_complete(&perf_test("--queue polled --polling --confirm 50 --pmessages 3000 --cmessages 3000"));
}

#[test]
fn large_bodies() {
    assert_complete(&perf_test(
        "--queue large --size 1000000 --flag persistent --confirm 10 --pmessages 60 --cmessages 60",
    ));
}

#[test]
fn quorum_queues() {
    assert_complete(&perf_test(
        "--quorum-queue --queue quorum --queue-args x-delivery-limit=5 --confirm 200 --qos 100 --size 200 \
         --pmessages 10000 --cmessages 10000",
    ));
}

#[test]
fn streams() {
    assert_complete(&perf_test(
        "--stream-queue --queue stream --stream-consumer-offset first --confirm 200 --size 200 --producers 1 \
         --consumers 3 --multi-ack-every 10 --pmessages 10000 --cmessages 10000",
    ));
}

#[test]
fn priority_queues() {
    assert_complete(&perf_test(
        "--queue priority --queue-args x-max-priority=10 --message-properties priority=5 --confirm 200 --qos 100 \
         --flag persistent --auto-delete false --pmessages 10000 --cmessages 10000",
    ));
}

#[test]
fn nacks_and_requeues() {
    // Every message is given back once by whoever gets it first, so more are received than were sent.
    assert_complete(&perf_test(
        "--quorum-queue --queue nacked --nack --requeue true --qos 20 --pmessages 500 --cmessages 2000",
    ));
}

#[test]
fn dead_letters_by_time_to_live() {
    let broker = Broker::start();
    let (queue, dead) = (unique("expiring"), unique("dead"));
    let mut wire = Wire::open(broker.address()).expect("login");
    wire.open_channel(1).expect("channel");
    wire.declare(1, &dead, 2).expect("declared");
    let arguments = format!("x-message-ttl=100,x-dead-letter-exchange=,x-dead-letter-routing-key={dead}");
    let output = perf_test_on(
        &broker,
        &format!(
            "--queue {queue} --queue-args {arguments} --auto-delete false --flag persistent --confirm 200 --consumers 0 \
             --pmessages 10000"
        ),
    );
    assert!(output.contains("Producer reached message limit"), "{output}");
    wait_until("all have died", || wire.declare(1, &dead, 1).expect("declared").1 == 10_000);
    for name in [&queue, &dead] {
        wire.call(1, &Method::new(50, 40).short(0).shortstr(name).octet(0), (50, 41)).expect("deleted");
    }
}
