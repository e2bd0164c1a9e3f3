//! What a request waits for before it is answered: room for what it brings, and that what it brought is certain.

use std::time::Duration;

use gantry_broker::{Broker, Ticket};

use crate::error::Error;

/// For so long a sender waits for memory before it is told to try again.
const ROOM_WAIT: Duration = Duration::from_secs(5);

/// Waits until the broker has room for what is sent; false where there is none for long.
pub(crate) async fn room(broker: &Broker) -> bool {
    if !broker.memory_is_high() {
        return true;
    }
    let mut alarms = broker.alarms();
    let room = tokio::time::timeout(ROOM_WAIT, alarms.wait_for(|alarms| !alarms.memory)).await;
    matches!(room, Ok(Ok(_))) && !broker.memory_is_high()
}

/// Waits until everything up to a ticket is on stable storage.
///
/// # Errors
/// The journal was closed.
pub(crate) async fn durable(broker: &Broker, ticket: Option<Ticket>) -> Result<(), Error> {
    let Some(ticket) = ticket else { return Ok(()) };
    let mut watermark = broker.watch_durable();
    let reached = watermark.wait_for(|durable| *durable >= ticket).await.map(|_| ());
    reached.map_err(|_| Error::internal(&"the journal was closed"))
}
