//! Who calls, and what the tags of a user allow.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gantry_broker::rights::{Denied, User};
use gantry_broker::{Broker, VirtualHost};

use super::answer::Refusal;
use super::api::Api;
use crate::http::Peer;

/// A user who has logged in and has one of the tags that let in at all.
pub(super) struct Caller {
    pub(super) broker: Arc<Broker>,
    pub(super) user: Arc<User>,
}

const TAGS: [&str; 4] = ["administrator", "monitoring", "policymaker", "management"];

impl FromRequestParts<Api> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Refusal> {
        let broker = api.broker().ok_or(Refusal::Starting)?;
        let (name, password) = credentials(parts)?;
        // Without a peer it is nobody's connection, and from nowhere near.
        let from = parts.extensions.get::<Peer>().copied();
        let (peer, is_loopback) = (from.map(|peer| peer.address.ip()), from.is_some_and(|peer| peer.is_loopback));
        let user = broker.authenticate(&name, &password, is_loopback).map_err(|denied| {
            tracing::info!(?peer, user = ?name, %denied, "management: refused");
            match denied {
                Denied::LoopbackOnly => Refusal::NotAuthorised("User can only log in via localhost"),
                Denied::Credentials | Denied::BlankPassword | Denied::Token(_) => Refusal::LoginFailed,
            }
        })?;
        let caller = Self { broker: Arc::clone(broker), user };
        if !TAGS.iter().any(|tag| caller.user.has_tag(tag)) {
            return Err(caller.refused("Not management user"));
        }
        Ok(caller)
    }
}

/// Name and password, as HTTP's basic authentication has them (RFC 7617).
fn credentials(parts: &Parts) -> Result<(String, Vec<u8>), Refusal> {
    let Some(header) = parts.headers.get(header::AUTHORIZATION) else { return Err(Refusal::Anonymous) };
    let (scheme, encoded) = header.to_str().ok().and_then(|text| text.split_once(' ')).ok_or(Refusal::Malformed)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        // Tokens are not known here.
        return Err(Refusal::LoginFailed);
    }
    let decoded = STANDARD.decode(encoded.trim()).map_err(|_| Refusal::Malformed)?;
    let colon = decoded.iter().position(|byte| *byte == b':').ok_or(Refusal::Malformed)?;
    // No user has a name that is not text.
    let name = String::from_utf8(decoded[..colon].to_vec()).map_err(|_| Refusal::LoginFailed)?;
    Ok((name, decoded[colon + 1..].to_vec()))
}

impl Caller {
    fn refused(&self, why: &'static str) -> Refusal {
        tracing::info!(user = ?self.user.name, why, "management: refused");
        Refusal::NotAuthorised(why)
    }

    pub(super) fn is_administrator(&self) -> bool {
        self.user.has_tag("administrator")
    }

    /// Refuses whoever is not an administrator.
    pub(super) fn check_administrator(&self) -> Result<(), Refusal> {
        if self.is_administrator() { Ok(()) } else { Err(self.refused("Not administrator user")) }
    }

    /// Refuses whoever is neither an administrator nor has permissions in the virtual host. One that does not exist is
    /// nobody's secret.
    pub(super) fn check_vhost(&self, vhost: &str) -> Result<(), Refusal> {
        if self.is_administrator() || self.may_enter(vhost) {
            return Ok(());
        }
        Err(self.refused("User not authorised to access virtual host"))
    }

    /// Refuses whoever may not set policies there.
    pub(super) fn check_policymaker(&self, vhost: &str) -> Result<(), Refusal> {
        if self.is_administrator() || self.user.has_tag("policymaker") && self.may_enter(vhost) {
            return Ok(());
        }
        Err(self.refused("User not authorised to access object"))
    }

    fn may_enter(&self, vhost: &str) -> bool {
        self.broker.vhost(vhost).is_none() || self.broker.may_enter(&self.user.name, vhost)
    }

    /// The virtual hosts whose contents a list tells.
    pub(super) fn visible_vhosts(&self) -> Vec<Arc<VirtualHost>> {
        let mut vhosts = self.broker.vhosts();
        vhosts.retain(|vhost| self.is_administrator() || self.broker.may_enter(&self.user.name, vhost.name()));
        vhosts.sort_by(|one, other| one.name().cmp(other.name()));
        vhosts
    }
}
