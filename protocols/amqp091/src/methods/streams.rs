//! basic.consume of a stream, and what streams do not do.

use std::sync::Arc;

use bytes::Bytes;
use gantry_broker::value::{Table, Value};
use gantry_broker::{LogFilter, Outlet, Queue, ReaderOptions, StreamOffset};

use super::basic::generated_tag;
use crate::channel::Consumer;
use crate::codec::methods as m;
use crate::codec::{ReplyCode, ShortText};
use crate::error::Failure;
use crate::limits::FILTER_VALUES_MAX;
use crate::session::Client;

const OFFSET: &str = "x-stream-offset";
const FILTER: &str = "x-stream-filter";
const MATCH_UNFILTERED: &str = "x-stream-match-unfiltered";

/// Arguments of consumers of other queues.
const OF_OTHERS: &[&str] = &["x-priority", "x-cancel-on-ha-failover"];

impl Client {
    /// basic.consume of a stream. That it is to be exclusive means nothing, as in RabbitMQ.
    pub(super) async fn consume_stream(
        &mut self,
        channel: u16,
        consume: &m::BasicConsume<'_>,
        queue: &Arc<Queue>,
    ) -> Result<(), Failure> {
        let arguments = consume.arguments.decode()?;
        let of_others = OF_OTHERS.iter().find(|name| arguments.contains(name));
        if let Some(name) = of_others {
            let text = format!("invalid arg '{name}' for {} of queue type rabbit_stream_queue", resource(queue));
            return Err(Failure::new(ReplyCode::PreconditionFailed, text));
        }
        self.check_consumers_max()?;
        let inbox = Arc::clone(&self.inbox);
        let Some(open) = self.open_channel(channel)? else { return Ok(()) };
        let tag = match consume.consumer_tag.as_str() {
            "" => generated_tag(channel, open.consumers.len()),
            tag => tag.to_owned(),
        };
        open.check_new_tag(&tag)?;
        let prefetch = u32::from(open.prefetch);
        if prefetch == 0 {
            let text = format!("consumer prefetch count is not set for '{}'", resource(queue));
            return Err(Failure::new(ReplyCode::PreconditionFailed, text));
        }
        if consume.no_ack {
            return Err(not_of_streams("automatic acknowledgement", queue));
        }
        if open.prefetch_global > 0 {
            let text = format!("{} does not support global qos", resource(queue));
            return Err(Failure::new(ReplyCode::NotImplemented, text));
        }
        let start = match arguments.get(OFFSET) {
            None => StreamOffset::Next,
            Some(value) => StreamOffset::of(value)
                .map_err(|_| invalid(OFFSET, queue, &format!("{{invalid_stream_offset_arg,{}}}", erlang(value))))?,
        };
        let options = ReaderOptions { prefetch, start, filter: filter(&arguments, queue)? };
        let token = self.tokens.next(channel);
        let outlet = Outlet { inbox, token, shared_credit: None };
        let vhost = Arc::clone(self.session.vhost());
        // The answer comes before the first delivery, which waits in the inbox until later.
        let subscription = vhost.read(queue, outlet, options, &mut self.wakes).await?;
        if let Some(open) = self.channels.get_mut(&channel) {
            open.tags.insert(token, tag.clone().into_boxed_str());
            let consumer = Consumer { token, no_ack: false, subscription };
            open.consumers.insert(tag.clone().into_boxed_str(), consumer);
        }
        if !consume.no_wait {
            self.send(channel, m::BasicConsumeOk { consumer_tag: ShortText::cut(&tag) });
        }
        Ok(())
    }
}

/// What a stream does not do closes the connection, as everything that is not implemented.
pub(super) fn not_of_streams(what: &str, queue: &Queue) -> Failure {
    Failure::new(ReplyCode::NotImplemented, format!("{what} not supported by stream queues {}", resource(queue)))
}

fn resource(queue: &Queue) -> String {
    format!("queue '{}' in vhost '{}'", queue.name(), queue.vhost())
}

fn invalid(name: &str, queue: &Queue, why: &str) -> Failure {
    let text = format!("invalid arg '{name}' for {}: {why}", resource(queue));
    Failure::new(ReplyCode::PreconditionFailed, text)
}

/// A value as RabbitMQ shows it: type and value.
fn erlang(value: &Value) -> String {
    let kind = value.type_name();
    match value {
        Value::Text(text) => format!("{{{kind},<<\"{}\">>}}", text.to_str_lossy()),
        Value::Bool(value) => format!("{{{kind},{value}}}"),
        _ => format!("{{{kind}}}"),
    }
}

/// Which messages a reader wants; all where it does not say.
fn filter(arguments: &Table, queue: &Queue) -> Result<Option<LogFilter>, Failure> {
    let text = |value: &Value| match value {
        Value::Text(text) => Some(Bytes::copy_from_slice(text.as_bytes())),
        _ => None,
    };
    let tags = match arguments.get(FILTER) {
        None => None,
        Some(Value::Array(values)) if values.len() <= FILTER_VALUES_MAX => values.iter().map(text).collect(),
        Some(Value::Array(_)) => {
            return Err(invalid(FILTER, queue, &format!("\"at most {FILTER_VALUES_MAX} values\"")));
        }
        Some(value) => text(value).map(|tag| vec![tag]),
    };
    if tags.is_none() && arguments.contains(FILTER) {
        return Err(invalid(FILTER, queue, "\"expected a string or an array of strings\""));
    }
    let untagged = match arguments.get(MATCH_UNFILTERED) {
        None => false,
        Some(Value::Bool(untagged)) => *untagged,
        Some(value) => {
            let why = format!("\"expected bool, got {}\"", value.type_name());
            return Err(invalid(MATCH_UNFILTERED, queue, &why));
        }
    };
    Ok(tags.map(|tags| LogFilter { tags, untagged }))
}
