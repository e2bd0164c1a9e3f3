//! Acknowledgements in the order of what they answer, each not before the journal has come as far as it says (4.6).

use std::collections::VecDeque;

use bytes::BytesMut;
use gantry_broker::Ticket;

use crate::codec::encode;
use crate::codec::packet::{Ack, Packet, Version};
use crate::codec::reason::Reason;

/// Which packet it is: PUBACK, PUBREC, PUBREL or PUBCOMP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ack,
    Rec,
    Rel,
    Comp,
}

/// A packet that waits for the disk.
#[derive(Clone, Copy, Debug)]
struct Answer {
    ticket: Ticket,
    kind: Kind,
    packet_id: u16,
    reason: Reason,
}

/// The only producer of acknowledgements of a session: what needs no sync queues up behind what does.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    pending: VecDeque<Answer>,
}

/// What went out.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Told {
    /// Messages that a publisher has been promised.
    pub(crate) confirmed: u64,
    /// Publishes of QoS 1 and 2 that are done: what counts against the receive maximum of the server.
    pub(crate) done: u16,
    /// Packets.
    pub(crate) packets: u64,
}

impl Answers {
    /// Adds a packet that waits for `ticket`; nothing to wait for where there is none.
    pub(crate) fn add(&mut self, kind: Kind, packet_id: u16, reason: Reason, ticket: Option<Ticket>) {
        self.pending.push_back(Answer { ticket: ticket.unwrap_or_default(), kind, packet_id, reason });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.pending.len()
    }

    /// Writes what can be said, now that the journal has come to `durable`.
    pub(crate) fn write(&mut self, durable: Ticket, version: Version, out: &mut BytesMut) -> Told {
        let mut told = Told::default();
        while self.pending.front().is_some_and(|first| first.ticket <= durable)
            && let Some(Answer { kind, packet_id, reason, .. }) = self.pending.pop_front()
        {
            let ends = match kind {
                Kind::Ack | Kind::Comp => true,
                Kind::Rec => reason.is_error(),
                Kind::Rel => false,
            };
            told.packets += 1;
            told.done = told.done.saturating_add(u16::from(ends));
            told.confirmed += u64::from(matches!(kind, Kind::Ack | Kind::Rec) && !reason.is_error());
            put(kind, packet_id, reason, version, out);
        }
        if self.pending.is_empty() && self.pending.capacity() > 1024 {
            self.pending = VecDeque::new();
        }
        told
    }

    /// Gives memory back; for when the connection is quiet.
    pub(crate) fn shrink(&mut self) {
        if self.pending.is_empty() && self.pending.capacity() > 0 {
            self.pending = VecDeque::new();
        }
    }
}

fn put(kind: Kind, packet_id: u16, reason: Reason, version: Version, out: &mut BytesMut) {
    let ack = Ack { packet_id, reason, reason_string: None, user_properties: Default::default() };
    let packet = match kind {
        Kind::Ack => Packet::PubAck(ack),
        Kind::Rec => Packet::PubRec(ack),
        Kind::Rel => Packet::PubRel(ack),
        Kind::Comp => Packet::PubComp(ack),
    };
    encode(&packet, version, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    // [MQTT-4.6.0-2], [MQTT-4.6.0-3], [MQTT-4.6.0-4]
    #[test]
    fn answers_keep_their_order_and_wait_for_the_disk() {
        let (mut answers, mut out) = (Answers::default(), BytesMut::new());
        answers.add(Kind::Ack, 1, Reason::SUCCESS, Some(Ticket(5)));
        answers.add(Kind::Rec, 2, Reason::QUOTA_EXCEEDED, None);
        answers.add(Kind::Ack, 3, Reason::SUCCESS, Some(Ticket(6)));
        let told = answers.write(Ticket(4), Version::V311, &mut out);
        assert!(out.is_empty() && told.done == 0);
        let told = answers.write(Ticket(5), Version::V311, &mut out);
        assert_eq!((told.done, told.confirmed), (2, 1));
        assert_eq!(&out[..], [0x40, 2, 0, 1, 0x50, 2, 0, 2]);
        answers.write(Ticket(6), Version::V311, &mut out);
        assert!(answers.is_empty());
    }
}
