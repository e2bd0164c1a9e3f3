//! `ReceiveMessage`: takes up to ten messages, and waits for some if it is asked to.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sqs::limits::{RECEIVE_MESSAGES_MAX, WAIT_S_MAX};
use crate::sqs::pairs::{List, Text};
use crate::sqs::place::{Intent, Place};
use crate::sqs::receiving::{Ask, Message, System, visibility_ms};
use crate::sqs::{fault, names};
use crate::stats::Polling;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ReceiveMessage<'a> {
    #[serde(borrow, default)]
    queue_url: Cow<'a, str>,
    /// What the next one was called before.
    #[serde(borrow, default)]
    attribute_names: Option<Names<'a>>,
    #[serde(borrow, default)]
    message_system_attribute_names: Option<Names<'a>>,
    #[serde(borrow, default)]
    message_attribute_names: Option<Names<'a>>,
    #[serde(default)]
    max_number_of_messages: Option<i64>,
    #[serde(default)]
    visibility_timeout: Option<i64>,
    #[serde(default)]
    wait_time_seconds: Option<i64>,
    #[serde(borrow, default)]
    receive_request_attempt_id: Option<Text<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Output {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    messages: Vec<Message>,
}

/// Most names of attributes in one request: a long poll keeps them for as long as it waits.
const NAMES_MAX: usize = 100;

type Names<'a> = List<Text<'a>, NAMES_MAX>;

impl<'a> Action<'a> for ReceiveMessage<'a> {
    const NAME: &'static str = "ReceiveMessage";
    type Output = Output;

    fn written_bytes(output: &Output) -> usize {
        32 + output.messages.iter().map(Message::bytes).sum::<usize>()
    }

    async fn run(self, call: &'a Call) -> Result<Reply<Output>, Error> {
        let place = Place::find(call, &self.queue_url, Intent::read("sqs:ReceiveMessage"))?;
        place.check_not_stream()?;
        let (ask, wait) = self.ask(call, place)?;
        let messages = ask.take(wait.is_zero()).await?;
        if wait.is_zero() || !messages.is_empty() {
            return Ok(Reply::Now(Output { messages }));
        }
        let polling = Polling::new(&call.edge.stats);
        Ok(Reply::Later(Box::pin(async move {
            let messages = Box::new(ask).wait(wait).await;
            drop(polling);
            Ok(Output { messages: messages? })
        })))
    }
}

impl ReceiveMessage<'_> {
    fn ask(&self, call: &Call, place: Place) -> Result<(Ask, Duration), Error> {
        let in_range = |number: i64, range: std::ops::RangeInclusive<u64>| {
            u64::try_from(number).ok().filter(|number| range.contains(number))
        };
        let messages_max = self.max_number_of_messages.unwrap_or(1);
        let Some(messages) = in_range(messages_max, 1..=RECEIVE_MESSAGES_MAX) else {
            let reason = "Must be between 1 and 10, if provided.";
            return Err(fault::invalid_value(messages_max, "MaxNumberOfMessages", reason));
        };
        let wait_s = match self.wait_time_seconds {
            None => place.profile.wait_s,
            Some(wait_s) => in_range(wait_s, 0..=WAIT_S_MAX).ok_or_else(|| {
                fault::invalid_value(wait_s, "WaitTimeSeconds", "Must be >= 0 and <= 20, if provided.")
            })?,
        };
        let visibility_ms = match self.visibility_timeout {
            None => place.profile.visibility_ms,
            Some(seconds) => visibility_ms(seconds)?,
        };
        let attempt = self.receive_request_attempt_id.as_deref();
        if let Some(attempt) = attempt {
            if !place.profile.is_fifo {
                let reason = "The request include parameter that is not valid for this queue type.";
                return Err(fault::invalid_value(fault::shown(attempt), "ReceiveRequestAttemptId", reason));
            }
            names::check_fifo_id(attempt, "ReceiveRequestAttemptId")?;
        }
        let lists = [&self.attribute_names, &self.message_system_attribute_names, &self.message_attribute_names];
        if lists.into_iter().flatten().any(|names| names.sent > NAMES_MAX) {
            return Err(fault::invalid_parameter(format!("At most {NAMES_MAX} names of attributes can be asked for.")));
        }
        let owned = |names: Option<&Names<'_>>| -> Box<[Box<str>]> {
            names.into_iter().flat_map(|names| names.iter()).map(|name| Box::from(&**name)).collect()
        };
        let system = self.message_system_attribute_names.as_ref().or(self.attribute_names.as_ref());
        let system = System::named(system.into_iter().flat_map(|names| names.iter()).map(|name| &**name))?;
        let ask = Ask {
            edge: Arc::clone(&call.edge),
            region: Arc::clone(&call.region),
            messages_max: messages as usize,
            visibility_ms,
            system,
            attributes: owned(self.message_attribute_names.as_ref()),
            attempt: attempt.map(Box::from),
            place,
        };
        Ok((ask, Duration::from_secs(wait_s)))
    }
}
