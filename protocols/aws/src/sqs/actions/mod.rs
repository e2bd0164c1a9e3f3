//! The actions: one file each.

mod add_permission;
mod cancel_message_move_task;
mod change_message_visibility;
mod change_message_visibility_batch;
mod create_queue;
mod delete_message;
mod delete_message_batch;
mod delete_queue;
mod get_queue_attributes;
mod get_queue_url;
mod list_dead_letter_source_queues;
mod list_message_move_tasks;
mod list_queue_tags;
mod list_queues;
mod purge_queue;
mod receive_message;
mod remove_permission;
mod send_message;
mod send_message_batch;
mod set_queue_attributes;
mod start_message_move_task;
mod tag_queue;
mod untag_queue;

use self::add_permission::AddPermission;
use self::cancel_message_move_task::CancelMessageMoveTask;
use self::change_message_visibility::ChangeMessageVisibility;
use self::change_message_visibility_batch::ChangeMessageVisibilityBatch;
use self::create_queue::CreateQueue;
use self::delete_message::DeleteMessage;
use self::delete_message_batch::DeleteMessageBatch;
use self::delete_queue::DeleteQueue;
use self::get_queue_attributes::GetQueueAttributes;
use self::get_queue_url::GetQueueUrl;
use self::list_dead_letter_source_queues::ListDeadLetterSourceQueues;
use self::list_message_move_tasks::ListMessageMoveTasks;
use self::list_queue_tags::ListQueueTags;
use self::list_queues::ListQueues;
use self::purge_queue::PurgeQueue;
use self::receive_message::ReceiveMessage;
use self::remove_permission::RemovePermission;
use self::send_message::SendMessage;
use self::send_message_batch::SendMessageBatch;
use self::set_queue_attributes::SetQueueAttributes;
use self::start_message_move_task::StartMessageMoveTask;
use self::tag_queue::TagQueue;
use self::untag_queue::UntagQueue;
use crate::action::{Action, Entry, perform};

/// All of them, in the order of the alphabet.
pub(crate) static ACTIONS: &[Entry] = &[
    Entry { name: AddPermission::NAME, run: |input, call| perform::<AddPermission<'_>>(input, call) },
    Entry { name: CancelMessageMoveTask::NAME, run: |input, call| perform::<CancelMessageMoveTask<'_>>(input, call) },
    Entry {
        name: ChangeMessageVisibility::NAME,
        run: |input, call| perform::<ChangeMessageVisibility<'_>>(input, call),
    },
    Entry {
        name: ChangeMessageVisibilityBatch::NAME,
        run: |input, call| perform::<ChangeMessageVisibilityBatch<'_>>(input, call),
    },
    Entry { name: CreateQueue::NAME, run: |input, call| perform::<CreateQueue<'_>>(input, call) },
    Entry { name: DeleteMessage::NAME, run: |input, call| perform::<DeleteMessage<'_>>(input, call) },
    Entry { name: DeleteMessageBatch::NAME, run: |input, call| perform::<DeleteMessageBatch<'_>>(input, call) },
    Entry { name: DeleteQueue::NAME, run: |input, call| perform::<DeleteQueue<'_>>(input, call) },
    Entry { name: GetQueueAttributes::NAME, run: |input, call| perform::<GetQueueAttributes<'_>>(input, call) },
    Entry { name: GetQueueUrl::NAME, run: |input, call| perform::<GetQueueUrl<'_>>(input, call) },
    Entry {
        name: ListDeadLetterSourceQueues::NAME,
        run: |input, call| perform::<ListDeadLetterSourceQueues<'_>>(input, call),
    },
    Entry { name: ListMessageMoveTasks::NAME, run: |input, call| perform::<ListMessageMoveTasks<'_>>(input, call) },
    Entry { name: ListQueueTags::NAME, run: |input, call| perform::<ListQueueTags<'_>>(input, call) },
    Entry { name: ListQueues::NAME, run: |input, call| perform::<ListQueues<'_>>(input, call) },
    Entry { name: PurgeQueue::NAME, run: |input, call| perform::<PurgeQueue<'_>>(input, call) },
    Entry { name: ReceiveMessage::NAME, run: |input, call| perform::<ReceiveMessage<'_>>(input, call) },
    Entry { name: RemovePermission::NAME, run: |input, call| perform::<RemovePermission<'_>>(input, call) },
    Entry { name: SendMessage::NAME, run: |input, call| perform::<SendMessage<'_>>(input, call) },
    Entry { name: SendMessageBatch::NAME, run: |input, call| perform::<SendMessageBatch<'_>>(input, call) },
    Entry { name: SetQueueAttributes::NAME, run: |input, call| perform::<SetQueueAttributes<'_>>(input, call) },
    Entry { name: StartMessageMoveTask::NAME, run: |input, call| perform::<StartMessageMoveTask<'_>>(input, call) },
    Entry { name: TagQueue::NAME, run: |input, call| perform::<TagQueue<'_>>(input, call) },
    Entry { name: UntagQueue::NAME, run: |input, call| perform::<UntagQueue<'_>>(input, call) },
];
