//! What is told of connections and subscriptions to whoever listens to events, with RabbitMQ's routing keys and headers.

use std::net::{IpAddr, SocketAddr};

use gantry_broker::Broker;
use gantry_broker::value::{Table, Value};

use crate::client::Client;
use crate::codec::Version;
use crate::subscriptions::{AckMode, Subscribed};

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

    fn say(&self, version: Version, said: &mut Table) {
        said.push("host", host(self.local.ip()));
        said.push("port", Value::I64(self.local.port().into()));
        said.push("peer_host", host(self.peer.ip()));
        said.push("peer_port", Value::I64(self.peer.port().into()));
        said.push("protocol", format!("{{'STOMP',\"{}\"}}", version.as_str()).as_str());
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
pub(crate) fn tell_login(broker: &Broker, ends: Ends, version: Version, user: &str, tls: bool, refused: Option<&str>) {
    let event = if refused.is_some() { "user.authentication.failure" } else { "user.authentication.success" };
    broker.tell(event, |said| {
        said.push("connection_type", "network");
        said.push("name", user);
        said.push("connection_name", ends.name());
        ends.say(version, said);
        said.push("ssl", tls);
        if let Some(refused) = refused {
            said.push("error", refused);
        }
    });
}

impl Client {
    pub(crate) fn tell_connected(&self, tls: bool) {
        self.session.tell("connection.created", |said| {
            let mut client = Table::new();
            client.push("product", "STOMP client");
            said.push("type", "network");
            said.push("pid", self.ends.name());
            said.push("name", self.ends.name());
            self.ends.say(self.version, said);
            said.push("user", self.session.user().name.as_str());
            said.push("vhost", &**self.session.vhost().name());
            said.push("ssl", tls);
            said.push("client_properties", gantry_broker::events::terms(&client));
        });
    }

    pub(crate) fn tell_disconnected(&self) {
        self.session.tell("connection.closed", |said| {
            said.push("name", self.ends.name());
            said.push("pid", self.ends.name());
        });
    }

    pub(crate) fn tell_subscribed(&self, subscribed: &Subscribed, prefetch: u16) {
        for consumer in &subscribed.consumers {
            self.session.tell("consumer.created", |said| {
                said.push("consumer_tag", subscribed.tag.as_str());
                said.push("exclusive", false);
                said.push("ack_required", subscribed.ack != AckMode::Auto);
                said.push("channel", self.ends.name());
                said.push("vhost", &**self.session.vhost().name());
                said.push("queue", &**consumer.queue().name());
                said.push("prefetch_count", Value::I64(prefetch.into()));
            });
        }
    }

    pub(crate) fn tell_unsubscribed(&self, subscribed: &Subscribed) {
        for consumer in &subscribed.consumers {
            self.session.tell("consumer.deleted", |said| {
                said.push("consumer_tag", subscribed.tag.as_str());
                said.push("channel", self.ends.name());
                said.push("vhost", &**self.session.vhost().name());
                said.push("queue", &**consumer.queue().name());
            });
        }
    }
}
