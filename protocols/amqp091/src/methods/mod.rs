//! What each method does: one file a class (AMQP 0-9-1, 1.3 to 1.9, and RabbitMQ's extensions).

mod basic;
mod channel;
mod connection;
mod definitions;
mod exchange;
mod queue;
mod replies;
mod streams;
mod transaction;

pub(crate) use self::definitions::Definitions;
pub(crate) use self::replies::{Replies, address_for};
use crate::codec::{Method, ReplyCode};
use crate::error::Failure;
use crate::session::{Client, Next};

impl Client {
    /// Handles a method other than the two that come with every message.
    pub(crate) async fn method(&mut self, channel: u16, method: Method<'_>) -> Result<Next, Failure> {
        if channel == 0 {
            return self.connection_method(&method);
        }
        if method.class_id() == CLASS_CONNECTION {
            return Err(Failure::new(ReplyCode::CommandInvalid, "unimplemented method").hard());
        }
        // These answer for themselves whether the channel is open.
        match &method {
            Method::ChannelOpen(_) => return self.channel_open(channel).map(|()| Next::Continue),
            Method::ChannelClose(_) => return self.channel_close(channel).map(|()| Next::Continue),
            Method::ChannelCloseOk(_) => return self.channel_close_ok(channel).map(|()| Next::Continue),
            _ => {}
        }
        if self.idle_channel(channel)?.is_none() {
            return Ok(Next::Continue);
        }
        self.flush_accepted();
        // What follows may wait for the disk; who has been granted something before need not.
        self.wakes.wake();
        match &method {
            Method::ChannelFlow(flow) => self.channel_flow(channel, flow)?,
            Method::ChannelFlowOk(_) => {}
            Method::AccessRequest(_) => self.access_request(channel),
            Method::ExchangeDeclare(declare) => self.exchange_declare(channel, declare)?,
            Method::ExchangeDelete(delete) => self.exchange_delete(channel, delete).await?,
            Method::ExchangeBind(bind) => self.exchange_bind(channel, bind)?,
            Method::ExchangeUnbind(unbind) => self.exchange_unbind(channel, unbind)?,
            Method::QueueDeclare(declare) => self.queue_declare(channel, declare)?,
            Method::QueueBind(bind) => self.queue_bind(channel, bind)?,
            Method::QueueUnbind(unbind) => self.queue_unbind(channel, unbind)?,
            Method::QueuePurge(purge) => self.queue_purge(channel, purge)?,
            Method::QueueDelete(delete) => self.queue_delete(channel, delete).await?,
            Method::BasicQos(qos) => self.qos(channel, qos)?,
            Method::BasicConsume(consume) => self.consume(channel, consume).await?,
            Method::BasicCancel(cancel) => self.cancel(channel, cancel).await,
            Method::BasicGet(get) => self.get(channel, get).await?,
            Method::BasicReject(reject) => self.reject(channel, reject.delivery_tag, reject.requeue)?,
            Method::BasicNack(nack) => self.nack(channel, nack.delivery_tag, nack.multiple, nack.requeue)?,
            Method::BasicRecover(recover) => self.recover(channel, recover.requeue, true)?,
            Method::BasicRecoverAsync(recover) => self.recover(channel, recover.requeue, false)?,
            Method::BasicCancelOk(_) => {}
            Method::ConfirmSelect(select) => self.confirm_select(channel, select)?,
            Method::TxSelect(_) => self.tx_select(channel)?,
            Method::TxCommit(_) => self.tx_commit(channel).await?,
            Method::TxRollback(_) => self.tx_rollback(channel)?,
            // What only servers say.
            _ => return Err(Failure::new(ReplyCode::CommandInvalid, "unimplemented method").hard()),
        }
        Ok(Next::Continue)
    }
}

const CLASS_CONNECTION: u16 = 10;
