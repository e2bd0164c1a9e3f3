//! Classes channel, access and confirm.

use crate::channel::{Confirms, Mode};
use crate::codec::ReplyCode;
use crate::codec::methods as m;
use crate::error::Failure;
use crate::session::Client;

impl Client {
    pub(super) fn channel_open(&mut self, channel: u16) -> Result<(), Failure> {
        match self.channels.get(&channel) {
            // What the client sent before it knew that the channel has failed is ignored, a new start included.
            Some(open) if open.closing => return Ok(()),
            Some(_) => return Err(Failure::new(ReplyCode::ChannelError, "second 'channel.open' seen")),
            None => {}
        }
        let max = self.channel_max;
        // As in RabbitMQ it is the number of channels that counts, not the numbers that they have.
        if max > 0 && self.channels.len() >= usize::from(max) {
            let opened = self.channels.len();
            let text = format!("number of channels opened ({opened}) has reached the negotiated channel_max ({max})");
            return Err(Failure::new(ReplyCode::NotAllowed, text));
        }
        self.add_channel(channel);
        self.send(channel, m::ChannelOpenOk::default());
        Ok(())
    }

    pub(super) fn channel_close(&mut self, channel: u16) -> Result<(), Failure> {
        match self.channels.get(&channel) {
            None => return Err(Failure::new(ReplyCode::ChannelError, "expected 'channel.open'")),
            // Both sides close it at once: the client's answer to ours is still to come, and ends it.
            Some(open) if open.closing => {
                self.send(channel, m::ChannelCloseOk {});
                return Ok(());
            }
            // RabbitMQ takes it for a frame in the middle of a message, too.
            Some(_) => {
                self.idle_channel(channel)?;
            }
        }
        // Confirms that are due come before the end.
        self.send_confirms();
        self.end_channel(channel);
        self.remove_channel(channel);
        self.send(channel, m::ChannelCloseOk {});
        Ok(())
    }

    pub(super) fn channel_close_ok(&mut self, channel: u16) -> Result<(), Failure> {
        match self.channels.get(&channel) {
            Some(open) if open.closing => {
                self.remove_channel(channel);
                Ok(())
            }
            Some(_) => Err(Failure::new(ReplyCode::CommandInvalid, "unimplemented method")),
            None => Err(Failure::new(ReplyCode::ChannelError, "expected 'channel.open'")),
        }
    }

    /// Stopping deliveries is what prefetch is for; RabbitMQ refuses it too.
    pub(super) fn channel_flow(&mut self, channel: u16, flow: &m::ChannelFlow) -> Result<(), Failure> {
        if !flow.active {
            return Err(Failure::new(ReplyCode::NotImplemented, "active=false"));
        }
        self.send(channel, m::ChannelFlowOk { active: true });
        Ok(())
    }

    pub(super) fn access_request(&mut self, channel: u16) {
        self.send(channel, m::AccessRequestOk { ticket: 1 });
    }

    pub(super) fn confirm_select(&mut self, channel: u16, select: &m::ConfirmSelect) -> Result<(), Failure> {
        let Some(open) = self.open_channel(channel)? else { return Ok(()) };
        match open.mode {
            Mode::Plain => open.mode = Mode::Confirm { confirms: Confirms::default(), confirmed_to: 0 },
            Mode::Confirm { .. } => {}
            Mode::Tx(_) => {
                return Err(Failure::new(ReplyCode::PreconditionFailed, "cannot switch from tx to confirm mode"));
            }
        }
        if !select.no_wait {
            self.send(channel, m::ConfirmSelectOk {});
        }
        Ok(())
    }
}
