//! Connections, as a client sees them.

mod callers;
mod client;
mod http;
mod polls;

use std::collections::HashMap;

use gantry_broker::rights::Access;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::action::{Action, Entry, Reply, perform};
use crate::call::{Call, QueueAt};
use crate::error::{Error, faults};
use crate::iam::Policy;

/// Actions that exist in tests only.
pub(crate) static ACTIONS: &[Entry] = &[
    Entry { name: "Ask", run: |input, call| perform::<Ask>(input, call) },
    Entry { name: "Echo", run: |input, call| perform::<Echo>(input, call) },
    Entry { name: "Wait", run: |input, call| perform::<Wait>(input, call) },
];

/// Asks whether it may send to a queue that has a policy.
#[derive(Deserialize)]
struct Ask {
    account: String,
    policy: Option<String>,
}

impl<'a> Action<'a> for Ask {
    const NAME: &'static str = "Ask";
    type Output = ();

    async fn run(self, call: &'a Call) -> Result<Reply<()>, Error> {
        let policy = self.policy.map(|document| Policy::parse(&document).expect("a policy"));
        let queue = QueueAt { account: &self.account, name: "orders" };
        call.authorize("sqs:SendMessage", Some(Access::Write), &queue, policy.as_ref())?;
        Ok(Reply::Now(()))
    }
}

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
