//! Connections, as a client sees them.

mod callers;
mod client;
mod flush;
mod http;
mod polls;
mod push;
mod sns;
mod sqs;

use std::collections::HashMap;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::action::{Action, Entry, Reply, perform};
use crate::call::Call;
use crate::error::{Error, faults};

/// Actions that exist in tests only.
pub(crate) static ACTIONS: &[Entry] = &[
    Entry { name: "Echo", run: |input, call| perform::<Echo>(input, call) },
    Entry { name: "Wait", run: |input, call| perform::<Wait>(input, call) },
];

/// Says what it was told, and who has told it.
#[derive(Deserialize)]
struct Echo {
    text: String,
}

#[derive(Serialize)]
struct Said {
    text: String,
    user: Option<String>,
    region: String,
}

impl<'a> Action<'a> for Echo {
    const NAME: &'static str = "Echo";
    type Output = Said;

    async fn run(self, call: &'a Call) -> Result<Reply<Said>, Error> {
        let user = call.caller.user.as_deref().map(str::to_owned);
        Ok(Reply::Now(Said { text: self.text, user, region: call.region.to_string() }))
    }
}

/// Waits until a test says something.
#[derive(Deserialize)]
struct Wait {
    key: String,
}

#[derive(Serialize)]
struct Heard {
    text: String,
}

static WAITED_FOR: Mutex<Option<HashMap<String, oneshot::Receiver<&'static str>>>> = Mutex::new(None);

/// What a `Wait` for this key will be told. The sender knows when it is not waited for any more.
fn wait_for(key: &str) -> oneshot::Sender<&'static str> {
    let (sender, receiver) = oneshot::channel();
    WAITED_FOR.lock().get_or_insert_default().insert(key.to_owned(), receiver);
    sender
}

impl<'a> Action<'a> for Wait {
    const NAME: &'static str = "Wait";
    type Output = Heard;

    async fn run(self, _: &'a Call) -> Result<Reply<Heard>, Error> {
        let receiver = WAITED_FOR.lock().get_or_insert_default().remove(&self.key).expect("the test has said so");
        Ok(Reply::Later(Box::pin(async move {
            match receiver.await {
                Ok(text) => Ok(Heard { text: text.to_owned() }),
                Err(_) => Err(Error::new(&faults::QUEUE_DOES_NOT_EXIST, "It has gone.")),
            }
        })))
    }
}
