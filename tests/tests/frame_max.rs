//! No frame towards a client is larger than what the client negotiated.

use gantry_tests::broker::Broker;
use gantry_tests::unique;
use gantry_tests::wire::{Method, PERSISTENT, Wire};

/// Sends and receives bodies around the limit over a connection with this frame-max.
fn bodies_with_frame_max(broker: &Broker, frame_max: u32) {
    let mut wire =
        Wire::open_tuned(broker.address(), |(channel_max, _, heartbeat)| (channel_max, frame_max, heartbeat))
            .expect("login");
    wire.open_channel(1).expect("channel 1");
    let (queue, ..) = wire.declare(1, &unique("frame-max"), 4).expect("declared");
    let room = frame_max as usize - 8;
    for size in [0, 1, room - 1, room, room + 1, 3 * room, 3 * room + 1, 1 << 20] {
        let body: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
        wire.publish(1, "", &queue, &PERSISTENT, &body).expect("published");
        // Once by get and once by delivery: the two ways out.
        wire.call(1, &Method::new(60, 70).short(0).shortstr(&queue).octet(0), (60, 71)).expect("got");
        assert_eq!(wire.content().expect("content"), body, "by get, {size} bytes");
        wire.method(1, &Method::new(60, 120).longlong(0).octet(3)).expect("given back");
        let consume = Method::new(60, 20).short(0).shortstr(&queue).shortstr("c").octet(2).no_arguments();
        wire.call(1, &consume, (60, 21)).expect("consuming");
        wire.expect(1, (60, 60)).expect("delivered");
        assert_eq!(wire.content().expect("content"), body, "by delivery, {size} bytes");
        wire.call(1, &Method::new(60, 30).shortstr("c").octet(0), (60, 31)).expect("cancelled");
        // And a mandatory message back to its sender.
        let mut bytes = Wire::publish_frames(1, "", &unique("nowhere"), &PERSISTENT, &body);
        let bits =
            bytes.windows(4).position(|window| window[0] == 0 && window[1] == 0xCE && window[2] == 2).expect("bits");
        bytes[bits] = 1;
        wire.send(&bytes).expect("published");
        wire.expect(1, (60, 50)).expect("returned");
        assert_eq!(wire.content().expect("content"), body, "returned, {size} bytes");
    }
    assert_eq!(wire.largest_frame_bytes, frame_max as usize, "the largest frame fills the limit");
}

#[test]
fn the_smallest_frame_max() {
    bodies_with_frame_max(&Broker::start(), 4096);
}

#[test]
fn an_odd_frame_max() {
    bodies_with_frame_max(&Broker::start(), 10_007);
}

#[test]
fn what_was_not_offered_is_refused() {
    let broker = Broker::start();
    for frame_max in [4095, 131_073, 0] {
        let tuned = Wire::open_tuned(broker.address(), |(channel_max, _, _)| (channel_max, frame_max, 0));
        let error = tuned.err().expect("refused");
        // RabbitMQ drops the connection after it has sent the reason, which is lost as often as not.
        let text = error.to_string();
        assert!(text.contains("530") || error.kind() != std::io::ErrorKind::TimedOut, "{frame_max}: {text}");
    }
}
