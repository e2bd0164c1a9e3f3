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
                self.update_secret(update).map_err(|failure| failure.of(method))?;
                Ok(Next::Continue)
            }
            method => {
                let text = "unexpected method in connection state running";
                Err(Failure::new(ReplyCode::ChannelError, text).of(method))
            }
        }
    }

    /// A new token makes the connection last longer. A password does not expire: a renewed one is taken note of and not looked
    /// at, as RabbitMQ's own user database does.
    fn update_secret(&mut self, update: &m::ConnectionUpdateSecret<'_>) -> Result<(), Failure> {
        let user = &self.session.user().name;
        if self.expires_ms.is_some() {
            // Where it comes from was looked at when it logged in.
            let authenticated = self.session.broker().log_in(user, update.new_secret, true);
            let refused = "New secret was refused by one of the backends";
            self.expires_ms = match authenticated {
                Ok(authenticated) if authenticated.expires_ms.is_some() => authenticated.expires_ms,
                Ok(_) => return Err(Failure::new(ReplyCode::NotAllowed, refused)),
                Err(why) => {
                    tracing::warn!(user, %why, "renewed secret refused");
                    return Err(Failure::new(ReplyCode::NotAllowed, refused));
                }
            };
        }
        tracing::info!(user, reason = update.reason.as_str(), "secret renewed");
        self.send(0, m::ConnectionUpdateSecretOk {});
        Ok(())
    }
}
