//! Every class and method of AMQP 0-9-1 (1.3 to 1.9) and of RabbitMQ's extensions, with its fields in wire order.

use super::MethodError;
use super::error::Snippet;
use super::frame::{FrameKind, encode_frame};
use super::method::methods;
use super::table::RawTable;
#[cfg(test)]
use super::tests::samples::Source;
use super::wire::{Field, LongStr, Reader, ShortStr, ShortText, WireError, Writer};
use bytes::{BufMut, BytesMut};

methods! {
    /// `connection.start`. The server begins the negotiation.
    10 10 "connection.start" ConnectionStart<'a> {
        /// Major version, 0.
        version_major: u8,
        /// Minor version, 9.
        version_minor: u8,
        /// What the server is and can do.
        server_properties: RawTable<'a>,
        /// Names of the mechanisms for authentication, separated by spaces.
        mechanisms: LongStr<'a>,
        /// Names of the languages, separated by spaces.
        locales: LongStr<'a>,
    }
    /// `connection.start-ok`. The client chooses a mechanism.
    10 11 "connection.start-ok" ConnectionStartOk<'a> {
        /// What the client is and can do.
        client_properties: RawTable<'a>,
        /// The mechanism that the client chose.
        mechanism: ShortText<'a>,
        /// The client's words in that mechanism.
        response: LongStr<'a>,
        /// The language that the client chose.
        locale: ShortText<'a>,
    }
    /// `connection.secure`. The server asks further in the mechanism.
    10 20 "connection.secure" ConnectionSecure<'a> {
        /// What the mechanism asks.
        challenge: LongStr<'a>,
    }
    /// `connection.secure-ok`. The client answers.
    10 21 "connection.secure-ok" ConnectionSecureOk<'a> {
        /// The client's words in that mechanism.
        response: LongStr<'a>,
    }
    /// `connection.tune`. The limits of the server.
    10 30 "connection.tune" ConnectionTune {
        /// The highest channel number; 0 for no limit.
        channel_max: u16,
        /// The largest whole frame, in bytes; 0 for no limit.
        frame_max: u32,
        /// Seconds between signs of life; 0 for none.
        heartbeat: u16,
    }
    /// `connection.tune-ok`. The limits that the client settles on.
    10 31 "connection.tune-ok" ConnectionTuneOk {
        /// The highest channel number; 0 for no limit.
        channel_max: u16,
        /// The largest whole frame, in bytes; 0 for no limit.
        frame_max: u32,
        /// Seconds between signs of life; 0 for none.
        heartbeat: u16,
    }
    /// `connection.open`. The client enters a virtual host.
    10 40 "connection.open" ConnectionOpen<'a> {
        /// The virtual host.
        virtual_host: ShortText<'a>,
        /// Unused.
        reserved_1: ShortText<'a>,
        /// Unused.
        reserved_2: bool,
    }
    /// `connection.open-ok`. The connection can be used.
    10 41 "connection.open-ok" ConnectionOpenOk<'a> {
        /// Unused.
        reserved_1: ShortText<'a>,
    }
    /// `connection.close`. Either side ends the connection.
    10 50 "connection.close" ConnectionClose<'a> {
        /// Why, for programs.
        reply_code: u16,
        /// Why, for people.
        reply_text: ShortText<'a>,
        /// Class of the method to blame, or 0.
        class_id: u16,
        /// The method to blame, or 0.
        method_id: u16,
    }
    /// `connection.close-ok`. Nothing follows.
    10 51 "connection.close-ok" ConnectionCloseOk {}
    /// `connection.blocked`. The server takes no publishes for now. An extension, for clients with the capability `connection.blocked`.
    10 60 "connection.blocked" ConnectionBlocked<'a> {
        /// Why, for people.
        reason: ShortText<'a>,
    }
    /// `connection.unblocked`. The server takes publishes again. An extension.
    10 61 "connection.unblocked" ConnectionUnblocked {}
    /// `connection.update-secret`. The client renews a secret that expires. An extension.
    10 70 "connection.update-secret" ConnectionUpdateSecret<'a> {
        /// The new secret.
        new_secret: LongStr<'a>,
        /// Why, for people.
        reason: ShortText<'a>,
    }
    /// `connection.update-secret-ok`. The secret was taken. An extension.
    10 71 "connection.update-secret-ok" ConnectionUpdateSecretOk {}

    /// `channel.open`. The client opens the channel.
    20 10 "channel.open" ChannelOpen<'a> {
        /// Unused.
        reserved_1: ShortText<'a>,
    }
    /// `channel.open-ok`. The channel can be used.
    20 11 "channel.open-ok" ChannelOpenOk<'a> {
        /// Unused.
        reserved_1: LongStr<'a>,
    }
    /// `channel.flow`. Either side stops or starts the flow of content.
    20 20 "channel.flow" ChannelFlow {
        /// Whether content may flow.
        active: bool,
    }
    /// `channel.flow-ok`. The answer.
    20 21 "channel.flow-ok" ChannelFlowOk {
        /// Whether content may flow.
        active: bool,
    }
    /// `channel.close`. Either side ends the channel.
    20 40 "channel.close" ChannelClose<'a> {
        /// Why, for programs.
        reply_code: u16,
        /// Why, for people.
        reply_text: ShortText<'a>,
        /// Class of the method to blame, or 0.
        class_id: u16,
        /// The method to blame, or 0.
        method_id: u16,
    }
    /// `channel.close-ok`. Nothing follows on the channel.
    20 41 "channel.close-ok" ChannelCloseOk {}

    /// `access.request`. Asks for a ticket, as clients of 0-8 do.
    30 10 "access.request" AccessRequest<'a> {
        /// Unused.
        realm: ShortText<'a>,
        /// Unused.
        exclusive: bool,
        /// Unused.
        passive: bool,
        /// Unused.
        active: bool,
        /// Unused.
        write: bool,
        /// Unused.
        read: bool,
    }
    /// `access.request-ok`. The ticket.
    30 11 "access.request-ok" AccessRequestOk {
        /// The ticket; RabbitMQ always says 1.
        ticket: u16,
    }

    /// `exchange.declare`. Makes an exchange, or asks for one.
    40 10 "exchange.declare" ExchangeDeclare<'a> {
        /// Unused; once a ticket.
        reserved_1: u16,
        /// The exchange.
        exchange: ShortText<'a>,
        /// The type of exchange.
        kind: ShortText<'a>,
        /// Only ask whether it is there.
        passive: bool,
        /// Outlives a restart.
        durable: bool,
        /// Goes with its last user.
        auto_delete: bool,
        /// Takes no publishes of clients.
        internal: bool,
        /// No answer is wanted.
        no_wait: bool,
        /// Arguments by name.
        arguments: RawTable<'a>,
    }
    /// `exchange.declare-ok`. The exchange is there.
    40 11 "exchange.declare-ok" ExchangeDeclareOk {}
    /// `exchange.delete`. Deletes an exchange.
    40 20 "exchange.delete" ExchangeDelete<'a> {
        /// Unused; once a ticket.
        reserved_1: u16,
        /// The exchange.
        exchange: ShortText<'a>,
        /// Only if nothing uses it.
        if_unused: bool,
        /// No answer is wanted.
        no_wait: bool,
    }
    /// `exchange.delete-ok`. The exchange is gone.
    40 21 "exchange.delete-ok" ExchangeDeleteOk {}
    /// `exchange.bind`. Binds an exchange to an exchange. An extension.
    40 30 "exchange.bind" ExchangeBind<'a> {
        /// Unused; once a ticket.
        reserved_1: u16,
        /// The exchange that gets messages.
        destination: ShortText<'a>,
        /// The exchange that they come from.
        source: ShortText<'a>,
        /// The key of the binding.
        binding_key: ShortText<'a>,
        /// No answer is wanted.
        no_wait: bool,
        /// Arguments by name.
        arguments: RawTable<'a>,
    }
    /// `exchange.bind-ok`. The binding is there. An extension.
    40 31 "exchange.bind-ok" ExchangeBindOk {}
    /// `exchange.unbind`. Takes a binding between exchanges away. An extension.
    40 40 "exchange.unbind" ExchangeUnbind<'a> {
        /// Unused; once a ticket.
        reserved_1: u16,
        /// The exchange that gets messages.
        destination: ShortText<'a>,
        /// The exchange that they come from.
        source: ShortText<'a>,
        /// The key of the binding.
        binding_key: ShortText<'a>,
        /// No answer is wanted.
        no_wait: bool,
        /// Arguments by name.
        arguments: RawTable<'a>,
    }
    /// `exchange.unbind-ok`. The binding is gone. An extension.
    40 51 "exchange.unbind-ok" ExchangeUnbindOk {}

    /// `queue.declare`. Makes a queue, or asks for one.
    50 10 "queue.declare" QueueDeclare<'a> {
        /// Unused; once a ticket.
        reserved_1: u16,
        /// The queue; empty for the one that the channel declared last, or to be given a name.
        queue: ShortText<'a>,
        /// Only ask whether it is there.
        passive: bool,
        /// Outlives a restart.
        durable: bool,
        /// For this connection, or this consumer, only.
        exclusive: bool,
        /// Goes with its last user.
        auto_delete: bool,
        /// No answer is wanted.
        no_wait: bool,
        /// Arguments by name.
        arguments: RawTable<'a>,
    }
    /// `queue.declare-ok`. The queue is there.
    50 11 "queue.declare-ok" QueueDeclareOk<'a> {
        /// The queue; empty for the one that the channel declared last, or to be given a name.
        queue: ShortText<'a>,
        /// Messages that are ready, or were dropped.
        message_count: u32,
        /// Consumers that it has.
        consumer_count: u32,
    }
    /// `queue.bind`. Binds a queue to an exchange.
    50 20 "queue.bind" QueueBind<'a> {
        /// Unused; once a ticket.
        reserved_1: u16,
        /// The queue; empty for the one that the channel declared last, or to be given a name.
        queue: ShortText<'a>,
        /// The exchange.
        exchange: ShortText<'a>,
        /// The key of the binding.
        binding_key: ShortText<'a>,
        /// No answer is wanted.
        no_wait: bool,
        /// Arguments by name.
        arguments: RawTable<'a>,
    }
    /// `queue.bind-ok`. The binding is there.
    50 21 "queue.bind-ok" QueueBindOk {}
    /// `queue.purge`. Drops all messages that are ready.
    50 30 "queue.purge" QueuePurge<'a> {
        /// Unused; once a ticket.
        reserved_1: u16,
        /// The queue; empty for the one that the channel declared last, or to be given a name.
        queue: ShortText<'a>,
        /// No answer is wanted.
        no_wait: bool,
    }
    /// `queue.purge-ok`. The queue was purged.
    50 31 "queue.purge-ok" QueuePurgeOk {
        /// Messages that are ready, or were dropped.
        message_count: u32,
    }
    /// `queue.delete`. Deletes a queue.
    50 40 "queue.delete" QueueDelete<'a> {
        /// Unused; once a ticket.
        reserved_1: u16,
        /// The queue; empty for the one that the channel declared last, or to be given a name.
        queue: ShortText<'a>,
        /// Only if nothing uses it.
        if_unused: bool,
        /// Only if it has no messages.
        if_empty: bool,
        /// No answer is wanted.
        no_wait: bool,
    }
    /// `queue.delete-ok`. The queue is gone.
    50 41 "queue.delete-ok" QueueDeleteOk {
        /// Messages that are ready, or were dropped.
        message_count: u32,
    }
    /// `queue.unbind`. Takes a binding away.
    50 50 "queue.unbind" QueueUnbind<'a> {
        /// Unused; once a ticket.
        reserved_1: u16,
        /// The queue; empty for the one that the channel declared last, or to be given a name.
        queue: ShortText<'a>,
        /// The exchange.
        exchange: ShortText<'a>,
        /// The key of the binding.
        binding_key: ShortText<'a>,
        /// Arguments by name.
        arguments: RawTable<'a>,
    }
    /// `queue.unbind-ok`. The binding is gone.
    50 51 "queue.unbind-ok" QueueUnbindOk {}

    /// `basic.qos`. Limits what is delivered ahead.
    60 10 "basic.qos" BasicQos {
        /// Bytes; RabbitMQ takes 0 only.
        prefetch_size: u32,
        /// Messages not yet acknowledged; 0 for no limit.
        prefetch_count: u16,
        /// For the channel and not for each new consumer.
        global: bool,
    }
    /// `basic.qos-ok`. The limit holds.
    60 11 "basic.qos-ok" BasicQosOk {}
    /// `basic.consume`. Starts a consumer.
    60 20 "basic.consume" BasicConsume<'a> {
        /// Unused; once a ticket.
        reserved_1: u16,
        /// The queue; empty for the one that the channel declared last, or to be given a name.
        queue: ShortText<'a>,
        /// The consumer's name on the channel; empty to be given one.
        consumer_tag: ShortText<'a>,
        /// Ignored, as RabbitMQ does.
        no_local: bool,
        /// What is delivered counts as acknowledged.
        no_ack: bool,
        /// For this connection, or this consumer, only.
        exclusive: bool,
        /// No answer is wanted.
        no_wait: bool,
        /// Arguments by name.
        arguments: RawTable<'a>,
    }
    /// `basic.consume-ok`. The consumer is there.
    60 21 "basic.consume-ok" BasicConsumeOk<'a> {
        /// The consumer's name on the channel; empty to be given one.
        consumer_tag: ShortText<'a>,
    }
    /// `basic.cancel`. Ends a consumer. From the server for clients with the capability `consumer_cancel_notify`.
    60 30 "basic.cancel" BasicCancel<'a> {
        /// The consumer's name on the channel; empty to be given one.
        consumer_tag: ShortText<'a>,
        /// No answer is wanted.
        no_wait: bool,
    }
    /// `basic.cancel-ok`. The consumer is gone.
    60 31 "basic.cancel-ok" BasicCancelOk<'a> {
        /// The consumer's name on the channel; empty to be given one.
        consumer_tag: ShortText<'a>,
    }
    /// `basic.publish`. Publishes the message that follows.
    60 40 "basic.publish" + content BasicPublish<'a> {
        /// Unused; once a ticket.
        reserved_1: u16,
        /// Where it was published to, empty for the default exchange.
        exchange: ShortStr<'a>,
        /// The routing key.
        routing_key: ShortStr<'a>,
        /// Return it if no queue takes it.
        mandatory: bool,
        /// Not supported by RabbitMQ.
        immediate: bool,
    }
    /// `basic.return`. Gives back the message that follows.
    60 50 "basic.return" + content BasicReturn<'a> {
        /// Why, for programs.
        reply_code: u16,
        /// Why, for people.
        reply_text: ShortText<'a>,
        /// Where it was published to, empty for the default exchange.
        exchange: ShortStr<'a>,
        /// The routing key.
        routing_key: ShortStr<'a>,
    }
    /// `basic.deliver`. Delivers the message that follows.
    60 60 "basic.deliver" + content BasicDeliver<'a> {
        /// The consumer's name on the channel; empty to be given one.
        consumer_tag: ShortText<'a>,
        /// The number of the delivery, or of the publish, on the channel.
        delivery_tag: u64,
        /// It may have been delivered before.
        redelivered: bool,
        /// Where it was published to, empty for the default exchange.
        exchange: ShortStr<'a>,
        /// The routing key.
        routing_key: ShortStr<'a>,
    }
    /// `basic.get`. Asks for one message.
    60 70 "basic.get" BasicGet<'a> {
        /// Unused; once a ticket.
        reserved_1: u16,
        /// The queue; empty for the one that the channel declared last, or to be given a name.
        queue: ShortText<'a>,
        /// What is delivered counts as acknowledged.
        no_ack: bool,
    }
    /// `basic.get-ok`. The message follows.
    60 71 "basic.get-ok" + content BasicGetOk<'a> {
        /// The number of the delivery, or of the publish, on the channel.
        delivery_tag: u64,
        /// It may have been delivered before.
        redelivered: bool,
        /// Where it was published to, empty for the default exchange.
        exchange: ShortStr<'a>,
        /// The routing key.
        routing_key: ShortStr<'a>,
        /// Messages that are ready, or were dropped.
        message_count: u32,
    }
    /// `basic.get-empty`. There is no message.
    60 72 "basic.get-empty" BasicGetEmpty<'a> {
        /// Unused.
        reserved_1: ShortText<'a>,
    }
    /// `basic.ack`. Done with a delivery; from the server, confirms a publish.
    60 80 "basic.ack" BasicAck {
        /// The number of the delivery, or of the publish, on the channel.
        delivery_tag: u64,
        /// All up to that number as well.
        multiple: bool,
    }
    /// `basic.reject`. Refuses a delivery.
    60 90 "basic.reject" BasicReject {
        /// The number of the delivery, or of the publish, on the channel.
        delivery_tag: u64,
        /// Back into the queue.
        requeue: bool,
    }
    /// `basic.recover-async`. As basic.recover, without an answer.
    60 100 "basic.recover-async" BasicRecoverAsync {
        /// Back into the queue.
        requeue: bool,
    }
    /// `basic.recover`. Gives all deliveries of the channel back.
    60 110 "basic.recover" BasicRecover {
        /// Back into the queue.
        requeue: bool,
    }
    /// `basic.recover-ok`. They were given back.
    60 111 "basic.recover-ok" BasicRecoverOk {}
    /// `basic.nack`. Refuses deliveries; from the server, tells that a publish was not taken. An extension.
    60 120 "basic.nack" BasicNack {
        /// The number of the delivery, or of the publish, on the channel.
        delivery_tag: u64,
        /// All up to that number as well.
        multiple: bool,
        /// Back into the queue.
        requeue: bool,
    }

    /// `confirm.select`. Asks for confirms of publishes. An extension.
    85 10 "confirm.select" ConfirmSelect {
        /// No answer is wanted.
        no_wait: bool,
    }
    /// `confirm.select-ok`. Publishes are confirmed from now on. An extension.
    85 11 "confirm.select-ok" ConfirmSelectOk {}

    /// `tx.select`. Makes the channel transactional.
    90 10 "tx.select" TxSelect {}
    /// `tx.select-ok`. The channel is transactional.
    90 11 "tx.select-ok" TxSelectOk {}
    /// `tx.commit`. Carries out what gathered.
    90 20 "tx.commit" TxCommit {}
    /// `tx.commit-ok`. It was carried out.
    90 21 "tx.commit-ok" TxCommitOk {}
    /// `tx.rollback`. Forgets what gathered.
    90 30 "tx.rollback" TxRollback {}
    /// `tx.rollback-ok`. It was forgotten.
    90 31 "tx.rollback-ok" TxRollbackOk {}
}
