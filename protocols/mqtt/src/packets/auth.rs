//! AUTH in a session: the client shows once more who it is (4.12.1).

use crate::authentication::Authentication;
use crate::client::Client;
use crate::codec::packet::{Auth, NO_PROPERTIES, Packet};
use crate::codec::reason::Reason;
use crate::error::Failure;

impl Client {
    pub(crate) fn auth(&mut self, auth: &Auth<'_>) -> Result<(), Failure> {
        // 4.12.0-7
        let Some(authentication) = &mut self.authentication else {
            return Err(Failure::protocol("AUTH, and no authentication method in CONNECT"));
        };
        // 4.12.1-1
        if auth.method != Some(Authentication::METHOD) {
            return Err(Failure::protocol("another authentication method than in CONNECT"));
        }
        let broker = self.session.broker();
        let (reason, data) = match auth.reason {
            Reason::REAUTHENTICATE => (Reason::CONTINUE_AUTHENTICATION, authentication.begin_again(broker, auth.data)?),
            Reason::CONTINUE_AUTHENTICATION => (Reason::SUCCESS, authentication.finish_again(broker, auth.data)?),
            _ => return Err(Failure::protocol("a reason that only servers give")),
        };
        self.send(&Packet::Auth(Auth {
            reason,
            method: Some(Authentication::METHOD),
            data: Some(&data),
            reason_string: None,
            user_properties: NO_PROPERTIES,
        }));
        Ok(())
    }
}
