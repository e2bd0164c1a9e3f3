//! Headers of SUBSCRIBE and SEND that ActiveMQ has. They are obeyed in both dialects, except where the other one has them for
//! something else.

use std::sync::Arc;

use gantry_broker::Selection;
use gantry_broker::selector::Selector;

use crate::codec::Headers;
use crate::destinations::Dialect;
use crate::error::Failure;
use crate::frames::{flag, number};
use crate::limits::ACTIVEMQ_PREFETCH;

/// What a SUBSCRIBE asks for beside its destination and mode.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    /// Messages that it may have and not have acknowledged; 0 for any number.
    pub(crate) prefetch: u16,
    /// Those with a higher one are served first.
    pub(crate) priority: i32,
    /// Nobody else consumes from the queue.
    pub(crate) exclusive: bool,
    /// Which messages it is for.
    pub(crate) selection: Selection,
}

impl Asked {
    /// Reads the headers. `connection` is that of the client.
    pub(crate) fn of(headers: Headers<'_>, dialect: Dialect, connection: u64) -> Result<Self, Failure> {
        refuse_transformation(headers, dialect)?;
        let prefetch = match number(headers, "prefetch-count")? {
            Some(prefetch) => prefetch,
            None => {
                let size: Option<i64> = number(headers, "activemq.prefetchSize")?;
                size.map_or(0, |size| size.clamp(0, i64::from(u16::MAX)) as u16)
            }
        };
        let prefetch = if prefetch == 0 && dialect == Dialect::ActiveMq { ACTIVEMQ_PREFETCH } else { prefetch };
        let priority = match number(headers, "x-priority")? {
            Some(priority) => priority,
            None => number(headers, "activemq.priority")?.unwrap_or(0),
        };
        let is = |name| flag(headers, name) == Some(true);
        let selector = match headers.get("selector").filter(|text| !text.trim().is_empty()) {
            // Headers are text: only so is one of them compared with a number, as in ActiveMQ.
            Some(text) => Some(Selector::parse(&format!("convert_string_expressions:{text}")).map_err(|error| {
                // Where it is wrong in the client's own text.
                let error = Selector::parse(&text).err().unwrap_or(error);
                Failure::soft("Invalid selector", format!("'{}': {error}\n", crate::destinations::shown(&text)))
            })?),
            None => None,
        };
        let is_local_left_out = is("no-local") || is("activemq.noLocal");
        let selection = Selection {
            selector: selector.map(Arc::new),
            not_from: is_local_left_out.then_some(connection),
            discards: false,
        };
        Ok(Self { prefetch, priority, exclusive: is("activemq.exclusive"), selection })
    }

    /// Whether it is for all messages.
    pub(crate) fn is_for_all(&self) -> bool {
        self.selection.selector.is_none() && self.selection.not_from.is_none()
    }
}

/// ActiveMQ makes other bodies of bodies where this header says so. This does not, and says that rather than pass on another body
/// than the client expects.
pub(crate) fn refuse_transformation(headers: Headers<'_>, dialect: Dialect) -> Result<(), Failure> {
    if dialect == Dialect::ActiveMq && headers.get_bytes("transformation").is_some() {
        let detail = "'transformation' is not supported: bodies are passed on as they are.\n";
        return Err(Failure::soft("Invalid header", detail));
    }
    Ok(())
}
