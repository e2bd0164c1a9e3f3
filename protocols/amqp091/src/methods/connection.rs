//! Class connection, after the handshake.

use crate::codec::methods as m;
use crate::codec::{Method, ReplyCode};
use crate::error::Failure;
use crate::session::{Client, Next};

impl Client {
    pub(super) fn connection_method(&mut self, method: &Method<'_>) -> Result<Next, Failure> {
        match method {
            Method::ConnectionClose(_) => {
                self.send(0, m::ConnectionCloseOk {});
                Ok(Next::Close)
            }
            Method::ConnectionCloseOk(_) => Ok(Next::Close),
            Method::ConnectionUpdateSecret(update) => {
                self.update_secret(update);
                Ok(Next::Continue)
            }
            method => {
                let text = "unexpected method in connection state running";
                Err(Failure::new(ReplyCode::ChannelError, text).of(method))
            }
        }
    }

    /// A password does not expire, so a renewed one is taken note of and not looked at, as RabbitMQ's own user database does.
    fn update_secret(&mut self, update: &m::ConnectionUpdateSecret<'_>) {
        tracing::info!(user = self.session.user().name, reason = update.reason.as_str(), "secret renewed");
        self.send(0, m::ConnectionUpdateSecretOk {});
    }
}
