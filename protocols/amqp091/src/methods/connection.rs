//! Class connection, after the handshake.

use gantry_broker::rights::Denied;

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
                self.update_secret(update)?;
                Ok(Next::Continue)
            }
            method => {
                let text = "unexpected method in connection state running";
                Err(Failure::new(ReplyCode::ChannelError, text).of(method))
            }
        }
    }

    /// The secret must still be the user's: a client that renews a token that has been withdrawn has to go.
    fn update_secret(&mut self, update: &m::ConnectionUpdateSecret<'_>) -> Result<(), Failure> {
        let user = self.session.user().name.clone();
        // Where it may come from was decided when it logged in.
        match self.session.broker().authenticate(&user, update.new_secret, true) {
            Ok(_) => {
                tracing::info!(user, reason = update.reason.as_str(), "secret renewed");
                self.send(0, m::ConnectionUpdateSecretOk {});
                Ok(())
            }
            Err(why @ (Denied::Credentials | Denied::BlankPassword | Denied::LoopbackOnly)) => {
                tracing::warn!(user, %why, "a renewed secret was refused");
                Err(Failure::new(ReplyCode::NotAllowed, "New secret was refused by one of the backends"))
            }
        }
    }
}
