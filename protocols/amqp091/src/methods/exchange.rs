//! Class exchange.

use gantry_broker::rights::{Access, TopicAccess};
use gantry_broker::value::Value;
use gantry_broker::{Error, ExchangeOptions, Kind, Pending};

use crate::codec::methods as m;
use crate::codec::{RawTable, ReplyCode};
use crate::error::Failure;
use crate::session::Client;

impl Client {
    pub(super) fn exchange_declare(&mut self, channel: u16, declare: &m::ExchangeDeclare<'_>) -> Result<(), Failure> {
        let name = without_line_ends(declare.exchange.as_str());
        let vhost = self.session.vhost().clone();
        if name.is_empty() {
            return Err(default_exchange());
        }
        let pending = if declare.passive {
            self.session.check_any(Kind::Exchange, &name)?;
            vhost.exchange(&name)?;
            Pending::nothing()
        } else {
            self.session.check(Access::Configure, Kind::Exchange, &name)?;
            let arguments = declare.arguments.decode()?;
            if let Some(alternate) = arguments.get("alternate-exchange").and_then(Value::as_str) {
                // Messages will be read from the one and written to the other on the user's behalf.
                self.session.check(Access::Read, Kind::Exchange, &name)?;
                self.session.check(Access::Write, Kind::Exchange, alternate)?;
            }
            let kind = declare
                .kind
                .as_str()
                .parse()
                .map_err(|_| Error::UnknownExchangeType(declare.kind.as_str().to_owned()))?;
            let options = ExchangeOptions {
                kind,
                durable: declare.durable,
                auto_delete: declare.auto_delete,
                internal: declare.internal,
                arguments,
            };
            vhost.define_exchange(&name, options)?
        };
        self.answer_when_durable(
            channel,
            m::ExchangeDeclare::IDS,
            pending,
            (!declare.no_wait).then_some(m::ExchangeDeclareOk {}),
        );
        Ok(())
    }

    pub(super) async fn exchange_delete(
        &mut self,
        channel: u16,
        delete: &m::ExchangeDelete<'_>,
    ) -> Result<(), Failure> {
        let name = without_line_ends(delete.exchange.as_str());
        self.session.check(Access::Configure, Kind::Exchange, &name)?;
        let vhost = self.session.vhost().clone();
        vhost.delete_exchange(&name, delete.if_unused).await?;
        if !delete.no_wait {
            self.send(channel, m::ExchangeDeleteOk {});
        }
        Ok(())
    }

    pub(super) fn exchange_bind(&mut self, channel: u16, bind: &m::ExchangeBind<'_>) -> Result<(), Failure> {
        let names = (bind.source.as_str(), bind.destination.as_str());
        let pending = self.bind_exchanges(names, bind.binding_key.as_str(), bind.arguments, true)?;
        self.answer_when_durable(
            channel,
            m::ExchangeBind::IDS,
            pending,
            (!bind.no_wait).then_some(m::ExchangeBindOk {}),
        );
        Ok(())
    }

    pub(super) fn exchange_unbind(&mut self, channel: u16, unbind: &m::ExchangeUnbind<'_>) -> Result<(), Failure> {
        let names = (unbind.source.as_str(), unbind.destination.as_str());
        let pending = self.bind_exchanges(names, unbind.binding_key.as_str(), unbind.arguments, false)?;
        self.answer_when_durable(
            channel,
            m::ExchangeUnbind::IDS,
            pending,
            (!unbind.no_wait).then_some(m::ExchangeUnbindOk {}),
        );
        Ok(())
    }

    fn bind_exchanges(
        &mut self,
        (source, destination): (&str, &str),
        key: &str,
        arguments: RawTable<'_>,
        bind: bool,
    ) -> Result<Pending, Failure> {
        let (source, destination) = (without_line_ends(source), without_line_ends(destination));
        self.session.check(Access::Write, Kind::Exchange, &destination)?;
        self.session.check(Access::Read, Kind::Exchange, &source)?;
        self.session.check_topic(TopicAccess::Read, &source, key.as_bytes(), None)?;
        let arguments = arguments.decode()?;
        let (vhost, connection) = (self.session.vhost().clone(), self.session.connection());
        let destination = (Kind::Exchange, destination.as_str());
        Ok(if bind {
            vhost.define_binding(&source, destination, key.as_bytes(), &arguments, connection)?
        } else {
            vhost.remove_binding(&source, destination, key.as_bytes(), &arguments, connection)?
        })
    }
}

fn default_exchange() -> Failure {
    Failure::new(ReplyCode::AccessRefused, "operation not permitted on the default exchange")
}

/// RabbitMQ takes line ends out of names, so that a name from a file works.
pub(super) fn without_line_ends(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '\r' | '\n')).collect()
}
