//! AUTH in a session: the client shows once more who it is (4.12.1).

use crate::client::Client;
use crate::codec::packet::Auth;
use crate::error::Failure;

impl Client {
    pub(crate) fn auth(&mut self, auth: &Auth<'_>) -> Result<(), Failure> {
        // 4.12.0-7, and 4.12.1-1: only by the method that it came in with.
        let Some(authentication) = &self.authentication else {
            return Err(Failure::protocol("AUTH, and no authentication method in CONNECT"));
        };
        if auth.method != Some(&*authentication.method) {
            return Err(Failure::protocol("another authentication method than in CONNECT"));
        }
        Err(Failure::protocol("AUTH at a time that there is nothing to authenticate"))
    }
}
