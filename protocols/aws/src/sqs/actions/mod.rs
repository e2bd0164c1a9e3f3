//! The actions: one file each.

mod get_queue_url;
mod list_queues;

use self::get_queue_url::GetQueueUrl;
use self::list_queues::ListQueues;
use crate::action::{Action, Entry, perform};

/// All of them, in the order of the alphabet.
pub(crate) static ACTIONS: &[Entry] = &[
    Entry { name: GetQueueUrl::NAME, run: |input, call| perform::<GetQueueUrl<'_>>(input, call) },
    Entry { name: ListQueues::NAME, run: |input, call| perform::<ListQueues<'_>>(input, call) },
];
