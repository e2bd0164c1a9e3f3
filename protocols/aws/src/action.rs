//! What an action is, and how one is found by its name. The formats of the wire are not its business.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::call::Call;
use crate::error::Error;
use crate::request_id::RequestId;
use crate::wire::{self, Format, Input, json, xml};

/// A future in an allocation of its own.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One action of a service: its input, which may borrow from the request, and what it does.
pub trait Action<'a>: Deserialize<'a> + Send {
    /// Its name in requests, such as `SendMessage`.
    const NAME: &'static str;
    /// What it answers. `()` is an empty reply.
    type Output: Serialize + Send + 'static;

    /// How many bytes the answer takes in JSON, about: so much is reserved for it at once.
    fn written_bytes(_: &Self::Output) -> usize {
        256
    }

    /// Does it.
    fn run(self, call: &'a Call) -> impl Future<Output = Result<Reply<Self::Output>, Error>> + Send;
}

/// When an action answers.
pub enum Reply<T> {
    /// At once.
    Now(T),
    /// When this is done: a long poll. The connection waits for it and costs as little as it can; if the client goes away the
    /// future is dropped.
    Later(Boxed<'static, Result<T, Error>>),
}

/// A reply in the format of its request.
pub(crate) enum Done {
    Now(Bytes),
    Later(Boxed<'static, Result<Bytes, Error>>),
}

/// An action by its name.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) run: for<'a> fn(Input<'a>, &'a Call) -> Boxed<'a, Result<Done, Error>>,
}

/// Reads the input, does it, writes the output.
pub(crate) fn perform<'a, A: Action<'a> + 'a>(input: Input<'a>, call: &'a Call) -> Boxed<'a, Result<Done, Error>> {
    Box::pin(async move {
        let (format, request_id) = (input.format(), call.request_id);
        let action: A = wire::read(input)?;
        Ok(match action.run(call).await? {
            Reply::Now(output) => Done::Now(write::<A>(format, request_id, &output)?),
            Reply::Later(output) => {
                Done::Later(Box::pin(async move { write::<A>(format, request_id, &output.await?) }))
            }
        })
    })
}

fn write<'a, A: Action<'a>>(format: Format, id: RequestId, output: &A::Output) -> Result<Bytes, Error> {
    match format {
        Format::Json => json::write(output, A::written_bytes(output)),
        Format::Query(service) => xml::write(service, A::NAME, id, output),
    }
}
