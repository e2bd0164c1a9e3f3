//! What is told of connections, channels and consumers to whoever listens to events, and of messages to whoever traces. With
//! RabbitMQ's routing keys and headers, as far as they mean something here: a process of Erlang is the name of what it serves.

use std::net::{IpAddr, SocketAddr};

use gantry_broker::events::terms;
use gantry_broker::value::{Table, Value};
use gantry_broker::{Broker, Message, TracedBy};

use crate::codec::RawTable;
use crate::session::Client;

/// Both ends of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
}

impl Ends {
    /// What RabbitMQ calls the connection.
    pub(crate) fn name(&self) -> String {
        format!("{} -> {}", self.peer, self.local)
    }

    fn say(&self, said: &mut Table) {
        said.push("host", host(self.local.ip()));
        said.push("port", Value::I64(self.local.port().into()));
        said.push("peer_host", host(self.peer.ip()));
        said.push("peer_port", Value::I64(self.peer.port().into()));
        said.push("protocol", "{0,9,1}");
    }
}

/// An address as Erlang writes it.
fn host(ip: IpAddr) -> String {
    let parts: Vec<String> = match ip {
        IpAddr::V4(ip) => ip.octets().iter().map(u8::to_string).collect(),
        IpAddr::V6(ip) => ip.segments().iter().map(u16::to_string).collect(),
    };
    format!("{{{}}}", parts.join(","))
}

/// Somebody has tried to log in.
pub(crate) fn tell_login(broker: &Broker, ends: Ends, user: &str, mechanism: &str, tls: bool, refused: Option<&str>) {
    let event = if refused.is_some() { "user.authentication.failure" } else { "user.authentication.success" };
    broker.tell(event, |said| {
        said.push("connection_type", "network");
        said.push("name", user);
        said.push("connection_name", ends.name());
        ends.say(said);
        said.push("auth_mechanism", mechanism);
        said.push("ssl", tls);
        if let Some(refused) = refused {
            said.push("error", refused);
        }
    });
}

impl Client {
    fn channel_name(&self, channel: u16) -> String {
        format!("{} ({channel})", self.ends.name())
    }

    pub(crate) fn tell_connected(&self, client_properties: &Table, tls: bool, heartbeat_s: u16) {
        self.session.tell("connection.created", |said| {
            said.push("type", "network");
            said.push("pid", self.ends.name());
            said.push("name", self.ends.name());
            self.ends.say(said);
            said.push("user", self.session.user().name.as_str());
            said.push("vhost", &**self.session.vhost().name());
            said.push("ssl", tls);
            said.push("timeout", Value::I64(heartbeat_s.into()));
            said.push("frame_max", Value::I64(self.frame_bytes_max.into()));
            said.push("channel_max", Value::I64(self.channel_max.into()));
            said.push("client_properties", terms(client_properties));
        });
    }

    pub(crate) fn tell_disconnected(&self) {
        self.session.tell("connection.closed", |said| {
            said.push("name", self.ends.name());
            said.push("pid", self.ends.name());
        });
    }

    pub(crate) fn tell_channel_opened(&self, channel: u16) {
        self.session.tell("channel.created", |said| {
            said.push("pid", self.channel_name(channel));
            said.push("name", self.channel_name(channel));
            said.push("connection", self.ends.name());
            said.push("number", Value::I64(channel.into()));
            said.push("user", self.session.user().name.as_str());
            said.push("vhost", &**self.session.vhost().name());
        });
    }

    pub(crate) fn tell_channel_closed(&self, channel: u16) {
        self.session.tell("channel.closed", |said| said.push("pid", self.channel_name(channel)));
    }

    pub(crate) fn tell_consumer_created(
        &self,
        channel: u16,
        (queue, tag): (&str, &str),
        (acknowledges, exclusive, prefetch): (bool, bool, u16),
        arguments: RawTable<'_>,
    ) {
        self.session.tell("consumer.created", |said| {
            said.push("consumer_tag", tag);
            said.push("exclusive", exclusive);
            said.push("ack_required", acknowledges);
            said.push("channel", self.channel_name(channel));
            said.push("vhost", &**self.session.vhost().name());
            said.push("queue", queue);
            said.push("prefetch_count", Value::I64(prefetch.into()));
            said.push("arguments", terms(&arguments.decode().unwrap_or_default()));
        });
    }

    pub(crate) fn tell_consumer_deleted(&self, channel: u16, queue: &str, tag: &str) {
        self.session.tell("consumer.deleted", |said| {
            said.push("consumer_tag", tag);
            said.push("channel", self.channel_name(channel));
            said.push("vhost", &**self.session.vhost().name());
            said.push("queue", queue);
        });
    }

    /// Has a copy of a delivery go to whoever traces.
    #[cold]
    pub(crate) fn trace_delivery(&mut self, channel: u16, message: &Message, queue: &str, redelivered: bool) {
        let connection = self.ends.name();
        let by = TracedBy { connection: &connection, channel, user: &self.session.user().name };
        self.session.vhost().trace_delivery(message, queue, redelivered, by, &mut self.wakes);
    }
}
